"""Batches on a running ComfyUI, over its HTTP routes. Not in the published pack."""
