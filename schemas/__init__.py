"""What is said: the vocabulary of iv3, as frozen pydantic values.

This floor imports nothing of ours and does no I/O. Everything that crosses a process, a file or a topic is said in
these words: `facts` (what happened to a person), `forecasts` and `alerts` (what iv3 concluded), `bookkeeping` (what iv3
needs to find its place again), all of them in the `envelope` (CloudEvents 1.0 structured JSON). `identity` makes the
ids that let every fold drop a repeat, `upcasters` reads what older releases wrote, `settings` is the configuration
after loading, `units` knows mg/dL and mmol/L.

Arrows go one way: schemas <- processors <- streams <- api <- iv3.
"""
