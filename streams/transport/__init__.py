"""Faust drivers. `strict` is the guard that both logs share: dense delivery, commit of the acknowledged prefix only; `sqlite` the driver
for the SQLite log. Everything that touches Faust's internals is in this folder, pinned to faust-streaming 0.15.3 by contract tests.
"""
