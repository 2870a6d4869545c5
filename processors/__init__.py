"""What is decided: pure functions from what was said to what follows from it.

A processor is told everything, the time included, and asks nothing: no I/O, no clock, no randomness, no Faust, no
asyncio. `readings` says which reading counts, `entries` what a correction does, `physiology` how much insulin and
carbohydrate is still at work, `predictors` where glucose goes, `alerting` who must be told what, `projection` which
points a chart needs, `archive` how the archive is laid out, `sources` what Share's answers mean and when it is asked
again, `copies` what a record becomes in another log, `legacy` how rows of the Go iv3 become facts, `simulated_person`
invents a life for the demo. Every rule here can be tested with plain values.
"""
