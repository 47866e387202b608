"""The node of stages between frames and encoder."""
