"""What the readers of every Series share."""
