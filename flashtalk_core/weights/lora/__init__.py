"""LoRA files: the layers they name, and their updates merged into weights."""
