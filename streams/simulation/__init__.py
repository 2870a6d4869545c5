"""The fake outside world: a Dexcom Share server, and recorded persons for it to tell of."""
