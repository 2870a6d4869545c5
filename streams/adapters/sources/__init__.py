"""Where readings are asked for."""
