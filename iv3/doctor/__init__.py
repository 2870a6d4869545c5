"""What usually goes wrong, looked for."""
