"""All that is missing or damaged of a model, told at once and before the run."""

from __future__ import annotations

from collections.abc import Mapping

from comfy_api.latest import io

from ...flashtalk_core.errors import FlashTalkError, SeveralPartsError
from ..host.model_files import list_faults


class Refusal(str):
    """Why inputs are refused, for ComfyUI, which asks for the text once for each of them.

    It cannot be told which inputs are at fault, so the whole is said once and not five times.
    """

    __slots__ = ("_is_said",)

    def __str__(self) -> str:
        if getattr(self, "_is_said", False):
            return "the reason is told at another input of this node"
        self._is_said = True
        return super().__str__()


def refuse_files(choices: Mapping[str, str | None]) -> Refusal | None:
    """Return what is wrong with the files of a model, ``None`` if all is well.

    Args:
        choices: What was chosen, by input of the loader; ``None`` comes over a link and is not
            known yet.
    """
    known = {name: value for name, value in choices.items() if value is not None}
    if len(known) < len(choices):
        return None
    try:
        faults = list_faults(known)
    except FlashTalkError as error:
        return Refusal(error)
    return Refusal(_tell(faults)) if faults else None


def require_files(node: type[io.ComfyNode], choices: Mapping[str, str]) -> None:
    """Raise :class:`SeveralPartsError` if several parts are missing or damaged."""
    faults = list_faults(choices)
    if len(faults) > 1:  # one alone is told where it is met
        raise SeveralPartsError(f"{node.define_schema().display_name}: {_tell(faults)}")


def _tell(faults: list[tuple[str, str]]) -> str:
    lines = [f"input '{name}': {message}" for name, message in faults]
    if len(lines) == 1:
        return lines[0]
    head = f"{len(lines)} parts of the model are missing or cannot be used:"
    return "\n".join([head, *(f"- {line}" for line in lines)])
