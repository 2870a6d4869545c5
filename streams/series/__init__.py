"""Adapters of the `Series` port: points over time, for charts and reports. `sqlite` is the embedded one; `swappable` exchanges one
version for the next while readers look on.
"""
