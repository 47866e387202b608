"""Prompts by time, as typed into a text field."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...flashtalk_core.clock import read_time
from ...flashtalk_core.errors import InvalidInputError, about
from ...flashtalk_core.excerpt import excerpt, printable

if TYPE_CHECKING:
    from ...flashtalk_core.engine.request import PromptChange


# A time as 12.5, 1:05 or 1:02:03.5, a colon (Chinese input methods type the wide one), a prompt.
_LINE = re.compile(
    r"(?P<time>(?:\d+:){0,2}\d+(?:\.\d*)?)\s*[:\N{FULLWIDTH COLON}]\s*(?P<prompt>\S.*)"
)


@about("prompt_changes")
def read_prompt_lines(text: str) -> tuple[PromptChange, ...]:
    """Read lines like ``12.5: She smiles`` or ``1:05: She nods``; empty ones are passed over.

    Raises:
        InvalidInputError: If a line has no time or no prompt, or the times do not rise.
    """
    from ...flashtalk_core.engine.request import PromptChange, check_order

    changes = []
    for line in filter(None, map(str.strip, text.splitlines())):
        match = _LINE.fullmatch(line)
        if match is None:
            raise InvalidInputError(
                f"prompt changes: '{excerpt(printable(line), 80)}' is not a time, a colon and a "
                "prompt; write '12.5: She smiles', or '1:05: She smiles' for minutes and seconds"
            )
        changes.append(PromptChange(read_time(match["time"]), match["prompt"]))
    check_order(changes)
    return tuple(changes)
