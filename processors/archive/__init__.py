"""The archive's format, pure."""
