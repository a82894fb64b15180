"""What happens between `compile` and the end of `fit`."""
