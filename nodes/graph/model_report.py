"""All that is missing or damaged of a model, reported at once and before the run."""

from __future__ import annotations

from collections.abc import Mapping

from comfy_api.latest import io

from ...flashtalk_core.errors import FlashTalkError, SeveralPartsError
from ..host.model_files import list_errors


class Refusal(str):
    """Why inputs are refused, for ComfyUI, which asks for the text once for each of them.

    ComfyUI does not say which input it asks for, so the whole is reported once, not five times.
    """

    __slots__ = ("_is_reported",)

    def __str__(self) -> str:
        if getattr(self, "_is_reported", False):
            return "the reason is given at another input of this node"
        self._is_reported = True
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
        errors = list_errors(known)
    except FlashTalkError as error:
        return Refusal(error)
    return Refusal(_report(errors)) if errors else None


def require_files(node: type[io.ComfyNode], choices: Mapping[str, str]) -> None:
    """Raise :class:`SeveralPartsError` if several parts are missing or damaged."""
    errors = list_errors(choices)
    if len(errors) > 1:  # a single one is raised where it is found
        raise SeveralPartsError(f"{node.define_schema().display_name}: {_report(errors)}")


def _report(errors: list[tuple[str, str]]) -> str:
    lines = [f"input '{name}': {message}" for name, message in errors]
    if len(lines) == 1:
        return lines[0]
    head = f"{len(lines)} parts of the model are missing or cannot be used:"
    return "\n".join([head, *(f"- {line}" for line in lines)])
