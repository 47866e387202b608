"""A table of training runs, each cell of it measured the same way."""
