"""Linear layers in fewer bits than their weights were trained in."""
