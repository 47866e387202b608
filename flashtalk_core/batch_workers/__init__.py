"""Processes that render rows of a batch, one for each device. Not in the published pack."""
