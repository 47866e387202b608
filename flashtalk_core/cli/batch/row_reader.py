"""Rows of a manifest by the options of ``render``: the same names, the same parsers."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InvalidInputError, about
from ...excerpt import excerpt
from ..program import RaisingParser
from ..rendering.device_options import add_device_options
from ..rendering.render_options import add_render_options, read_spec

if TYPE_CHECKING:
    from ...engine.spec import RenderSpec

_SEVERAL = frozenset(
    ("devices", "ray", "step_limit", "limit", "vae_grid", "vae_devices", "exchange", "ring")
)
_OF_THE_BATCH = _SEVERAL | {"help", "debug", "image", "audio"}
"""Options that no row has: they choose how all rows run, or are read elsewhere."""
_YES = frozenset(("true", "yes", "on", "1"))
_NO = frozenset(("false", "no", "off", "0"))


class RowReader:
    """Makes a spec of what a row says; options of the command line hold for all rows."""

    def __init__(
        self,
        folder: Path,
        defaults: argparse.Namespace | None = None,
        *,
        has_device: bool = True,
    ) -> None:
        """Take what rows have in common.

        Args:
            folder: Of the manifest: names of models and LoRAs in it are below it.
            defaults: Values of the options of ``render``; ``None`` is their own defaults.
            has_device: Whether a row may choose its device; not where there are several.
        """
        self._folder = folder
        self._of_the_batch = _OF_THE_BATCH if has_device else _OF_THE_BATCH | {"device"}
        self._parser = RaisingParser(prog="python -m flashtalk_core render")
        add_render_options(self._parser)
        add_device_options(self._parser)
        self._actions = {each.dest: each for each in self._parser._actions}
        own = vars(self._parser.parse_args([]))
        given = vars(defaults) if defaults is not None else {}
        shared = {name: value for name, value in given.items() if name in own}
        several = {name: own[name] for name in self._of_the_batch & own.keys()}
        self._defaults = own | shared | several

    @property
    def names(self) -> frozenset[str]:
        """Options that a row may set."""
        return frozenset(self._actions) - self._of_the_batch

    def read(self, values: Mapping[str, Any]) -> tuple[RenderSpec, int]:
        """Return the spec of a row and its H.264 quality.

        Args:
            values: Texts, as in CSV, or what JSON has: numbers, ``true``, lists for options that
                may be repeated. ``image`` and ``audio`` are paths.

        Raises:
            InvalidInputError: If a value is none of its option.
        """
        found = argparse.Namespace(**self._defaults)
        words: list[str] = []
        for name, value in values.items():
            if name in self.names:
                with about(name):
                    words += self._words(found, name, value)
        args = self._parser.parse_args(words, found)
        args.image, args.audio = Path(values["image"]), Path(values["audio"])
        return read_spec(args), args.crf

    def _words(self, found: argparse.Namespace, name: str, value: Any) -> list[str]:
        """Return a value as words of a command line; what cannot be one is set in ``found``."""
        action = self._actions[name]
        option = max(action.option_strings, key=len)
        if isinstance(action, argparse._AppendAction):
            lines = value if isinstance(value, list) else str(value).splitlines()
            if action.nargs is None:
                setattr(found, name, [])  # in place of those of the command line
                texts = [_text(option, each) for each in lines if str(each).strip()]
                return [f"{option}={self._place(name, text)}" for text in texts]
            setattr(found, name, [_second_and_prompt(option, each) for each in lines])
            return []
        if action.nargs == 0:
            setattr(found, name, _truth(option, value))
            return []
        return [f"{option}={self._place(name, _text(option, value))}"]

    def _place(self, name: str, text: str) -> str:
        """Return the name of a file or a folder of a row as a path below the manifest."""
        is_bundled = name == "model" and text == "tiny"
        if name not in ("model", "lora") or is_bundled or text.startswith("~"):
            return text
        return str(self._folder / text)


def _text(option: str, value: Any) -> str:
    if isinstance(value, bool | dict | list):
        raise InvalidInputError(f"{option} {excerpt(value)}: use a text or a number")
    return str(value)


def _truth(option: str, value: Any) -> bool:
    text = str(value).strip().lower()
    if text not in _YES | _NO:
        raise InvalidInputError(f"{option} {excerpt(value)!r}: use 'true' or 'false'")
    return text in _YES


def _second_and_prompt(option: str, value: Any) -> list[str]:
    """Read ``12.5: She smiles``, or a list of the two."""
    if isinstance(value, list):
        parts = [str(each) for each in value]
    else:
        second, colon, prompt = str(value).partition(":")
        parts = [second.strip(), prompt.strip()] if colon else []
    if len(parts) != 2 or not all(parts):
        raise InvalidInputError(
            f"{option} {excerpt(value)!r}: write a second, a colon and a prompt, such as '12.5: "
            "She smiles', one a line"
        )
    return parts
