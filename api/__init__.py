"""Who asks: aiohttp, HTTP in, events out. This floor reads through ports and the catalog, and never names an adapter.

`request` is what every route stands on: who asks, about whom, in which shape, how an error is answered (RFC 9457). `v1`
are our own routes, a file a group; `legacy` the nine routes of the Go iv3; `ops` and `pages` what operates and shows;
`app` puts them together. A write answers only after the log has it.
"""
