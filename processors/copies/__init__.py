"""What a record becomes in another log, pure."""
