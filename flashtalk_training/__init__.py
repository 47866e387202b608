"""Training of avatar models: drawn data, Stage 1, distillation, export and evaluation."""
