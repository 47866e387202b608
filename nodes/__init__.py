"""Nodes of the pack: thin adapters between ComfyUI's graph and the core."""

from .extension import comfy_entrypoint

__all__ = ["comfy_entrypoint"]
