"""Measures between processes that share a model, one on each device."""
