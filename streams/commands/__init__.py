"""The one door for writes: ask the pure rule, append, wait until it can be read, say what happened.

The API, the Go iv3's routes and the command line call the same commands, and so will every door that comes; none of
them makes an event. `door` is what a command is given, `refusals` are the answers of one that writes nothing. A rule
that must hold however a fact came into the log does not stand here: it is applied where the fact is folded.
"""
