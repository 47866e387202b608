"""Endings of the names of weights files, by format, in lower case."""

SAFETENSORS = (".safetensors",)
PICKLES = (".pth", ".pt", ".bin")
READABLE = (*SAFETENSORS, *PICKLES)
"""Suffixes of files that are read."""
GGUF = ".gguf"
"""Suffixes of files that are known, but not supported yet."""
