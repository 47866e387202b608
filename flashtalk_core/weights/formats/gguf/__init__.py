"""GGUF files: blocks of few bits, in the layout of llama.cpp and of ComfyUI's converters."""
