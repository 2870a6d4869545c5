"""What tells a person."""
