"""ComfyUI entry point of the FlashTalk node pack.

Older Pythons and ComfyUIs than the rest needs read this file too, so that it can tell them. It then
offers nothing, and ComfyUI lists the pack among those that failed, without a traceback.
"""

import logging
import platform
import re
import sys
from importlib.util import find_spec

LOWEST_PYTHON = (3, 11)
LOWEST_COMFYUI = (0, 11, 0)
"""The oldest that was tried; before it, nodes have no ``search_aliases``."""


def _obstacle() -> str:
    """Return why the nodes cannot be loaded; empty if nothing is in the way."""
    if sys.version_info < LOWEST_PYTHON:
        return (
            f"FlashTalk needs Python {_text(LOWEST_PYTHON)} or later; this ComfyUI runs on "
            f"{platform.python_version()} ({sys.executable}). Its nodes are not loaded; install "
            "ComfyUI with a newer Python"
        )
    found = _comfyui_version()
    numbers = [int(digits) for digits in re.findall(r"(?:^|\.)(\d+)", found)[:3]]
    if numbers and (*numbers, 0, 0)[:3] < LOWEST_COMFYUI:
        return (
            f"FlashTalk needs ComfyUI {_text(LOWEST_COMFYUI)} or later; this is {found}. "
            "Its nodes are not loaded; update ComfyUI"
        )
    return ""


def _comfyui_version() -> str:
    """Return what ComfyUI says of itself; empty if it does not."""
    try:
        from comfyui_version import __version__
    except ImportError:
        return ""
    return str(__version__)


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


# Neither is there when a tool such as pytest imports this file on its own.
if find_spec("comfy_api") or find_spec("comfyui_version"):
    if _REASON := _obstacle():
        logging.getLogger(__name__).error("%s", _REASON)
    else:
        from .nodes import comfy_entrypoint as comfy_entrypoint

        WEB_DIRECTORY = "./js"
