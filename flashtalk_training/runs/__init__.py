"""One training run: state, seeds, ranks, progress and curves."""
