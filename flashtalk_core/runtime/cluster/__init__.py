"""Engines on other hosts, through Ray, which a process of its own speaks with."""
