"""Stand-in for ComfyUI's machinery."""
