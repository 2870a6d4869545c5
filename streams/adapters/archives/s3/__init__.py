"""Objects in a bucket."""
