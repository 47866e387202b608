"""A transformer written into one file of another format, or two for ComfyUI's own graph."""
