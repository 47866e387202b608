"""Frozen configuration of the method and of every model, validated on construction."""
