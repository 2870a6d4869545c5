"""The assembly: the command line, the loading of the configuration, and the wiring. The only place that names adapters.

`start` is where a process begins, `supervise` the outer process that starts a fallen one again. `cli` declares the verbs, which live in `verbs`.
`config` turns files and environment into `Settings` or a sentence, `wiring` turns `Settings` into a running house, `status` says how it does,
`checks` looks for what usually goes wrong, `measuring` what the machine can do, `demo` makes the person of the demo.
"""
