"""What the projector stores in Redis and the API reads: key names, columns, ordinals, generations."""
