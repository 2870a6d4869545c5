"""Real servers for tests, without containers: Kafka, InfluxDB and an S3 gateway from the package registries.

Each module installs its server once into a cache folder outside the checkout, starts it on a free loopback port with
its data in a given folder, waits until it answers, stops it, kills it, freezes it, and starts it again on the same data
and port. Servers die with the process that started them. `python -m tests.servers` prepares them all; `pytest
--servers=local` uses them; the fixtures are in `tests/conftest.py`.
"""
