"""Nodes for more than one speaker."""
