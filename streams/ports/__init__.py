"""What the rooms need of the world, one Protocol a file, with the values it speaks in."""
