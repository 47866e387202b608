"""Prompts by time, as typed into a text field."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...flashtalk_core.clock import read_time, split_time
from ...flashtalk_core.errors import InvalidInputError, about
from ...flashtalk_core.excerpt import excerpt, printable

if TYPE_CHECKING:
    from ...flashtalk_core.engine.request import PromptChange


@about("prompt_changes")
def read_prompt_lines(text: str) -> tuple[PromptChange, ...]:
    """Read lines like ``12.5: She smiles`` or ``1:05: She nods``; empty ones are passed over.

    Raises:
        InvalidInputError: If a line has no time or no prompt, or the times do not rise.
    """
    from ...flashtalk_core.engine.request import PromptChange, check_order

    changes = []
    for line in filter(None, map(str.strip, text.splitlines())):
        timed = split_time(line)
        if timed is None:
            raise InvalidInputError(
                f"prompt changes: '{excerpt(printable(line), 80)}' is not a time, a colon and a "
                "prompt; write '12.5: She smiles', or '1:05: She smiles' for minutes and seconds"
            )
        changes.append(PromptChange(read_time(timed[0]), timed[1]))
    check_order(changes)
    return tuple(changes)
