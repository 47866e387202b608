"""Command line of the server."""

from types import SimpleNamespace

args = SimpleNamespace(disable_metadata=False)
