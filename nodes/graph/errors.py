"""Errors that name the node's input at fault."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from comfy_api.latest import io

from ...flashtalk_core import errors
from ...flashtalk_core.borders import is_out_of_memory, reason
from ...flashtalk_core.errors import FlashTalkError
from ...flashtalk_core.log import printable_log

_log = printable_log(logging.getLogger(__name__))

# ComfyUI shows module and name of an exception; its module is called by the path of the pack.
for _kind in vars(errors).values():
    if isinstance(_kind, type) and issubclass(_kind, FlashTalkError):
        _kind.__module__ = "flashtalk"


@contextmanager
def blame(
    node: type[io.ComfyNode], *inputs: str, **openings: str | tuple[str, ...]
) -> Iterator[None]:
    """Put the input at fault before the message of a :class:`FlashTalkError`.

    Messages of the core open with the value they are about: ``steps 0: use ...``. The input
    whose name, with spaces, opens the message is at fault, else the first one.

    Args:
        node: The node that runs.
        inputs: Ids of inputs that may be at fault.
        openings: More of them, by id: how messages about them open, one way or several.
    """
    try:
        yield
    except FlashTalkError as error:
        candidates = {name: name.replace("_", " ") for name in inputs} | openings
        name = _input_at_fault(str(error), candidates)
        # GET_SCHEMA writes to the class, which ComfyUI locks while a node runs.
        title = node.define_schema().display_name
        named = type(error)(f"{title}, input '{name}': {error}")
        for note in getattr(error, "__notes__", ()):
            named.add_note(note)  # where the rendered part is
        # ComfyUI prints what is chained as well, and a user's fault needs one traceback at most.
        _log.debug("%s: raised here", title, exc_info=error)
        raise named from None
    except Exception as error:
        # ComfyUI knows the error of a full GPU itself, and frees its models.
        if not is_out_of_memory(error) or type(error).__name__ == "OutOfMemoryError":
            raise
        title = node.define_schema().display_name
        short = errors.NoMemoryError(
            f"{title}: out of memory ({reason(error)}); close other programs, or make the video "
            "smaller"
        )
        for note in getattr(error, "__notes__", ()):
            short.add_note(note)
        raise short from error


def _input_at_fault(message: str, candidates: Mapping[str, str | tuple[str, ...]]) -> str:
    """Return the input with the longest opening of ``message``, else the first one."""
    found = ("", next(iter(candidates)))
    for name, openings in candidates.items():
        for opening in (openings,) if isinstance(openings, str) else openings:
            # "sound start" says more than "sound".
            if message.startswith(opening) and len(opening) > len(found[0]):
                found = (opening, name)
    return found[1]
