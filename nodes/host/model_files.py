"""From the loader's menus to files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...flashtalk_core.errors import WeightsError
from ...flashtalk_core.weights.diagnosis import PartError, find_part_errors
from ...flashtalk_core.weights.discovery.audio_layers import BASES, NO_AUDIO_LAYERS, AudioLayers
from ...flashtalk_core.weights.discovery.choice import choose_model_files
from ...flashtalk_core.weights.discovery.files import ModelFiles
from ...flashtalk_core.weights.discovery.layout import find_model_files, resolve_model
from ...flashtalk_core.weights.discovery.menu import list_transformers, resolve_choice
from ...flashtalk_core.weights.discovery.parts import PARTS, Part
from ...flashtalk_core.weights.discovery.search import in_part_folders
from .folders import (
    audio_layer_files,
    audio_layer_folders,
    audio_layer_path,
    light_vae_files,
    lora_files,
    part_files,
    part_folders,
    part_path,
    tokenizer_folders,
)

TINY = "tiny (bundled)"
AUTO = "auto"
NONE = "none"

AUDIO_LAYERS = "audio_layers"
"""Input of the loader that is about a part of a part."""
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


def audio_layers_menu() -> list[str]:
    """Return what can be chosen as audio layers."""
    return [AUTO, NONE, *audio_layer_files()]


def light_vae_menu() -> list[str]:
    """Return what can be chosen as light autoencoder."""
    return [NONE, *light_vae_files()]


def lora_menu() -> list[str]:
    """Return what can be chosen as LoRA."""
    return [NONE, *lora_files()]


@dataclass(frozen=True)
class Wanted:
    """What was chosen, in the core's terms; see :func:`choose_model_files`."""

    places: Mapping[Part, Sequence[Path]]
    chosen: Mapping[Part, Path]
    without: frozenset[Part]
    audio_layers: AudioLayers = NO_AUDIO_LAYERS


def find_files(choices: Mapping[str, str]) -> ModelFiles:
    """Return the files of a model.

    Args:
        choices: What was chosen, by input of the loader; audio layers may be left out.

    Raises:
        WeightsError: If a part is missing.
    """
    wanted = _wanted(choices, _transformer(choices))
    return choose_model_files(wanted.places, wanted.chosen, wanted.without, wanted.audio_layers)


def list_errors(choices: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return every input with something missing or damaged, and what is wrong; see `find_files`.

    Only names and headers are looked at.
    """
    try:
        transformer = _transformer(choices)
    except WeightsError as error:
        wanted = _wanted(choices, None)
        others = find_part_errors(wanted.places, wanted.chosen, {*wanted.without, "dit"})
        faults = [PartError("dit", str(error), "dit"), *others]
    else:
        wanted = _wanted(choices, transformer)
        faults = find_part_errors(wanted.places, wanted.chosen, wanted.without, wanted.audio_layers)
    return [(_input_of(fault), fault.message) for fault in faults]


def _input_of(fault: PartError) -> str:
    if fault.subject == AUDIO_LAYERS:
        return AUDIO_LAYERS
    return INPUT_OF.get(fault.part, INPUT_OF["text"])


def _wanted(choices: Mapping[str, str], transformer: Path | None) -> Wanted:
    """Put choices into the core's terms; the parts are the tiny model's, or near a transformer."""
    # Of other inputs it is a name like any other: the menus' values are not checked by ComfyUI.
    without = frozenset(part for part in _OPTIONAL if choices[INPUT_OF[part]] == NONE)
    chosen = {
        part: part_path(part, choices[name])
        for part, name in INPUT_OF.items()
        if part != "dit" and part not in without and choices[name] != AUTO
    }
    layers = _audio_layers(choices)
    if choices["model"] == TINY:
        return Wanted({}, _tiny_parts() | chosen, without, layers)
    places = {part: list(part_folders(part)) for part in PARTS}
    places["tokenizer"] += tokenizer_folders()
    if transformer is not None:
        chosen["dit"] = transformer
        # A whole model as its authors publish it has every part next to the transformer.
        home = transformer if transformer.is_dir() else transformer.parent
        places = {part: [home, *folders] for part, folders in places.items()}
        # Theirs has the audio encoder in a folder next to the model's.
        places["audio"].insert(1, home.parent)
    return Wanted(places, chosen, without, layers)


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


def _transformer(choices: Mapping[str, str]) -> Path | None:
    """Return the file or folder of the transformer, ``None`` for the bundled one."""
    name, folders = choices["model"], part_folders("dit")
    if name == TINY:
        return None
    if name != AUTO:
        return resolve_choice(folders, name)
    return in_part_folders(folders, "dit", BASES).run()[0]


def _audio_layers(choices: Mapping[str, str]) -> AudioLayers:
    choice = choices.get(AUDIO_LAYERS, AUTO)
    if choice == NONE:
        return NO_AUDIO_LAYERS
    if choice in (AUTO, ""):  # empty: of a graph from before this input, read by position
        return AudioLayers(places=tuple(audio_layer_folders()))
    return AudioLayers(audio_layer_path(choice))
