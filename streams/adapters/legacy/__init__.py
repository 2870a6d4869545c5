"""The older Go program, read only."""
