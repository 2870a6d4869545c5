"""The Series in SQLite files."""
