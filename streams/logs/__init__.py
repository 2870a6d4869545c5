"""Adapters of the `Log` port. `sqlite` keeps the log in one file; `writer`, `wakeups` and `disk` are its parts."""
