"""Who asks: aiohttp, HTTP in, events out. This floor reads through ports and the catalog, and never names an adapter.

`openapi` makes typed handlers and the document that describes them, `problems` turns every error into RFC 9457, `auth` says who may do what, `hearing` is what
handlers are given. One file per group of routes: `now`, `readings`, `entries` (with `guards`), `alerts`, `profile`, `tokens`, `stream`, `seed`
(the nine routes of the Go iv3), `ops`, `pages`. A write answers only after the log has it.
"""
