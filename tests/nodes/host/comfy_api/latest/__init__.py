"""The part of the V3 interface that the nodes use."""

from . import io, ui
from .extension import ComfyExtension
from .video import Input, InputImpl, Types

__all__ = ["ComfyExtension", "Input", "InputImpl", "Types", "io", "ui"]
