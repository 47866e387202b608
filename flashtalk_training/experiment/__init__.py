"""A table of training runs, all of whose cells are measured alike."""
