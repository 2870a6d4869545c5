"""The log on each ground it stands on: one SQLite file, or Kafka."""
