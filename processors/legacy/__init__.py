"""Rows of the Go program as facts, and how both differ."""
