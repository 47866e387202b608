"""The toy avatars of the engine's tests."""

from tests.unit.engine.conftest import checkpoint, toy

__all__ = ["checkpoint", "toy"]
