"""Prompts by second, as typed into a text field."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..flashtalk_core.errors import InvalidInputError

if TYPE_CHECKING:
    from ..flashtalk_core.engine.request import PromptChange


_COLON = re.compile("[:\N{FULLWIDTH COLON}]")
"""Chinese input methods type the wide one."""


def read_prompt_lines(text: str) -> tuple[PromptChange, ...]:
    """Read lines like ``12.5: She smiles``; empty lines are passed over.

    Raises:
        InvalidInputError: If a line has no second, or the seconds do not rise.
    """
    from ..flashtalk_core.engine.request import PromptChange, check_order

    changes = []
    for line in filter(None, map(str.strip, text.splitlines())):
        second, *prompt = map(str.strip, _COLON.split(line, maxsplit=1))
        changes.append(PromptChange(_second(second, line), "".join(prompt)))
        if not any(prompt):
            raise InvalidInputError(
                f"prompt changes: {line!r} has no prompt; write a second, a colon and the prompt, "
                "such as '12.5: She smiles'"
            )
    check_order(changes)
    return tuple(changes)


def _second(text: str, line: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidInputError(
            f"prompt changes: {line!r} does not begin with a second; write a second, a colon and "
            "the prompt, such as '12.5: She smiles'"
        ) from None
