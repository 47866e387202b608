"""Requests to ComfyUI's ``/free`` while a prompt runs that leaves the device alone for a time."""

from __future__ import annotations

import comfy.model_management as management

_UNLOAD, _FREE = "unload_models", "free_memory"


def unload_if_asked() -> bool:
    """Unload all models if somebody asked for it; ComfyUI itself does so after the prompt.

    Outputs that ComfyUI keeps are still freed by itself, then.

    Returns:
        Whether somebody did.
    """
    from server import PromptServer

    queue = getattr(getattr(PromptServer, "instance", None), "prompt_queue", None)
    if queue is None:
        return False
    flags = queue.get_flags(reset=False)
    if not flags.get(_UNLOAD, flags.get(_FREE, False)):
        return False
    queue.set_flag(_UNLOAD, False)
    management.unload_all_models()
    return True
