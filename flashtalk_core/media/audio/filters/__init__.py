"""Filters that sound goes through block by block."""
