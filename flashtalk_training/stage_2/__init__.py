"""Stage 2: distillation of a few-step student on its own roll-outs."""
