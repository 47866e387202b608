"""Names and shapes of the tensors of a file, mapped onto a network."""
