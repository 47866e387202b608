"""ComfyUI entry point of the FlashTalk node pack."""

from importlib.util import find_spec

if find_spec("comfy_api"):  # missing when a tool such as pytest imports this file on its own
    from .nodes import comfy_entrypoint as comfy_entrypoint

WEB_DIRECTORY = "./js"
