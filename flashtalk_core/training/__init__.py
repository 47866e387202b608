"""Training of avatar models: drawn data, Stage 1, export and evaluation."""
