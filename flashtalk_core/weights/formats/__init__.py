"""Files of tensors: their headers read and checked before any weight is."""
