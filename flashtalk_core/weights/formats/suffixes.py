"""Endings of the names of weights files, by format, in lower case."""

SAFETENSORS = (".safetensors",)
PICKLES = (".pth", ".pt", ".bin")
READABLE = (*SAFETENSORS, *PICKLES)
"""Of files that are read."""
GGUF = ".gguf"
"""Of files that are known, and not read yet."""
