"""The one door for writes: ask the pure rule, append, wait until it can be read, say what happened."""
