"""How any role runs: one Faust App, one body, one assignment at a time; snapshots, heartbeats, the process that holds
them all.
"""
