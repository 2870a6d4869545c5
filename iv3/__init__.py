"""The assembly: the command line, the loading of the configuration, and the wiring. The only place that names adapters.

`start` is where a process begins, `cli` declares the verbs, `config` turns files and environment into `Settings` or a sentence, `wiring` turns `Settings` into a running house, `demo` makes the
person of the demo, `supervise` is the outer process that starts a fallen one again.
"""
