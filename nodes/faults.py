"""Errors that name the node's input at fault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from comfy_api.latest import io

from ..flashtalk_core.errors import FlashTalkError


@contextmanager
def blame(node: type[io.ComfyNode], *inputs: str, **openings: str) -> Iterator[None]:
    """Put the input at fault before the message of a :class:`FlashTalkError`.

    Messages of the core open with the value they are about: ``steps 0: use ...``. The input
    whose name, with spaces, opens the message is at fault, else the first one.

    Args:
        node: The node that runs.
        inputs: Ids of inputs that may be at fault.
        openings: More of them, by id: how messages about them open.
    """
    try:
        yield
    except FlashTalkError as error:
        candidates = {name: name.replace("_", " ") for name in inputs} | openings
        message = str(error)
        fitting = [name for name, opening in candidates.items() if message.startswith(opening)]
        # "sound start" says more than "sound".
        name = max(
            fitting, key=lambda found: len(candidates[found]), default=next(iter(candidates))
        )
        # GET_SCHEMA writes to the class, which ComfyUI locks while a node runs.
        title = node.define_schema().display_name
        raise type(error)(f"{title}, input '{name}': {message}") from error
