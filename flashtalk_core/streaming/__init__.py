"""Bytes of a render handed to viewers while it runs: bounded, and never waited for."""
