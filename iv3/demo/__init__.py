"""The demo's person and its start."""
