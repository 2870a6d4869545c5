"""One file for each role: fold, handle, work; nothing of how it is run."""
