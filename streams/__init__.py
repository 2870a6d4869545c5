"""What moves: the agents (one file per role), the ports they speak to, and the adapters behind those ports.

`ports` says what a log, a series, an archive, a notifier, a glucose source and a clock must promise; `errors` says whose fault a
failure is and what follows from it. `role` is one restartable Faust App with its single agent body, `consume`; `house` runs all roles
and the API in one loop. `topics` is the one table of topics. The roles are `poller`, `projector`, `forecaster`, `alerter`, `notifier`,
`archiver`; the `catalog` follows the log without a group. Adapters live in `logs`, `series`, `archives`, `clients`, the Faust driver in `transport`, the
fake Dexcom and its person in `simulation`. What is *decided* is decided in `processors`; agents only carry.
"""
