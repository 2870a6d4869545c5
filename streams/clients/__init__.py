"""Clients of the outside world. `exchange` is how all of them ask: it never hangs and never tells a secret."""
