"""What moves: the roles, the ports they speak to, and the adapters behind those ports. What is *decided* is decided in
`processors`; this floor carries.

`ports` says what a log, a series, an archive, a notifier, a glucose source and a clock must promise; `errors` says
whose fault a failure is and what follows from it; `topics` is the one table of topics. `runtime` is how any role runs,
`roles` what each of them does, `delivery` how somebody is told. `views` is what is read and can be made again from the
log, `archive` and `copies` are what is kept elsewhere, `storage` what several rooms ask of the disk. `adapters` is
everything that has a product's name or a wire.
"""
