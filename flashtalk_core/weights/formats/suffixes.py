"""Endings of the names of weights files, by format, in lower case."""

SAFETENSORS = (".safetensors", ".sft")
PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".pkl")
GGUF = (".gguf",)
READABLE = (*SAFETENSORS, *PICKLES, *GGUF)
"""Suffixes of files that are read."""
