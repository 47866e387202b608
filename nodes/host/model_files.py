"""From the loader's menus to files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...flashtalk_core.errors import WeightsError
from ...flashtalk_core.weights.diagnosis import PartError, find_part_errors
from ...flashtalk_core.weights.discovery.choice import choose_model_files
from ...flashtalk_core.weights.discovery.files import ModelFiles
from ...flashtalk_core.weights.discovery.layout import find_model_files, resolve_model
from ...flashtalk_core.weights.discovery.menu import list_transformers, resolve_choice
from ...flashtalk_core.weights.discovery.parts import PARTS, Part
from ...flashtalk_core.weights.discovery.search import in_part_folders
from .folders import lora_files, part_files, part_folders, part_path, tokenizer_folders

TINY = "tiny (bundled)"
AUTO = "auto"
NONE = "none"

INPUT_OF: dict[Part, str] = {
    "dit": "model",
    "vae": "vae",
    "text": "text_encoder",
    "clip": "clip_vision",
    "audio": "audio_encoder",
}
_OPTIONAL: tuple[Part, ...] = ("text", "clip")
"""Parts that a model can be used without."""


def transformer_menu() -> list[str]:
    """Return what can be chosen as transformer."""
    return [TINY, AUTO, *list_transformers(part_folders("dit"))]


def part_menu(part: Part, *, can_be_none: bool = False) -> list[str]:
    """Return what can be chosen as another part."""
    return [AUTO, *([NONE] if can_be_none else []), *part_files(part)]


def lora_menu() -> list[str]:
    """Return what can be chosen as LoRA."""
    return [NONE, *lora_files()]


@dataclass(frozen=True)
class Wanted:
    """What was chosen, in the core's terms; see :func:`choose_model_files`."""

    places: Mapping[Part, Sequence[Path]]
    chosen: Mapping[Part, Path]
    without: frozenset[Part]


def find_files(choices: Mapping[str, str]) -> ModelFiles:
    """Return the files of a model.

    Args:
        choices: What was chosen, by input of the loader.

    Raises:
        WeightsError: If a part is missing.
    """
    transformer = None if choices["model"] == TINY else _transformer(choices["model"])
    wanted = _wanted(choices, transformer)
    return choose_model_files(wanted.places, wanted.chosen, wanted.without)


def list_errors(choices: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return every input with something missing or damaged, and what is wrong; see `find_files`.

    Only names and headers are looked at.
    """
    try:
        transformer = None if choices["model"] == TINY else _transformer(choices["model"])
    except WeightsError as error:
        wanted = _wanted(choices, None)
        others = find_part_errors(wanted.places, wanted.chosen, {*wanted.without, "dit"})
        faults = [PartError("dit", str(error)), *others]
    else:
        wanted = _wanted(choices, transformer)
        faults = find_part_errors(wanted.places, wanted.chosen, wanted.without)
    return [(INPUT_OF.get(fault.part, INPUT_OF["text"]), fault.message) for fault in faults]


def _wanted(choices: Mapping[str, str], transformer: Path | None) -> Wanted:
    """Put choices into the core's terms; the parts are the tiny model's, or near a transformer."""
    # Of other inputs it is a name like any other: the menus' values are not checked by ComfyUI.
    without = frozenset(part for part in _OPTIONAL if choices[INPUT_OF[part]] == NONE)
    chosen = {
        part: part_path(part, choices[name])
        for part, name in INPUT_OF.items()
        if part != "dit" and part not in without and choices[name] != AUTO
    }
    if choices["model"] == TINY:
        return Wanted({}, _tiny_parts() | chosen, without)
    places = {part: list(part_folders(part)) for part in PARTS}
    places["tokenizer"] += tokenizer_folders()
    if transformer is not None:
        chosen["dit"] = transformer
        # A whole model as its authors publish it has every part next to the transformer.
        home = transformer if transformer.is_dir() else transformer.parent
        places = {part: [home, *folders] for part, folders in places.items()}
        # Theirs has the audio encoder in a folder next to the model's.
        places["audio"].insert(1, home.parent)
    return Wanted(places, chosen, without)


def _tiny_parts() -> dict[Part, Path]:
    files = find_model_files(resolve_model("tiny"))
    found: dict[Part, Path | None] = {
        "dit": files.dit[0],
        "vae": files.vae,
        "text": files.text,
        "tokenizer": files.tokenizer,
        "clip": files.clip,
        "audio": files.audio,
    }
    return {part: path for part, path in found.items() if path is not None}


def _transformer(name: str) -> Path:
    folders = part_folders("dit")
    return (
        in_part_folders(folders, "dit").run()[0] if name == AUTO else resolve_choice(folders, name)
    )
