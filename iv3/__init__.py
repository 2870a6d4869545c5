"""The assembly: the command line, the loading of the configuration, and the building of a process. The only place that
names adapters.

`start` is where a process begins, `supervise` the outer process that starts a fallen one again. `cli` declares the
verbs, which live in `verbs`; what several of them share is `operations`. `config` turns files and environment into
`Settings` or a sentence, `assembly` turns `Settings` into a running process, `doctor` looks for what usually goes
wrong, `demo` makes the person of the demo.
"""
