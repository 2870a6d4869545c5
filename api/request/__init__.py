"""What every route stands on: who asks, about whom, in which shape, how an error is answered."""
