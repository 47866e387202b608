"""Renders as jobs on the disk: what is finished of one survives whatever ends it."""
