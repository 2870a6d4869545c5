"""Settings in, a running process out: the one place that names adapters."""
