"""The made-up outside world."""
