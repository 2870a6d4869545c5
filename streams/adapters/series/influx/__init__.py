"""The Series in InfluxDB."""
