"""Files of an avatar model in a folder, laid out as by the authors or as for ComfyUI."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from ...errors import InvalidInputError, WeightsError, about
from ...excerpt import shown_path
from ...files.paths import folder_problem, is_file, is_folder, user_path
from .audio_layers import BASES, FOLDERS, NO_AUDIO_LAYERS, AudioLayers
from .files import ModelFiles, model_files
from .parts import PARTS, Part
from .search import in_model_folder
from .tokenizer import find_tokenizer


@dataclass(frozen=True)
class FoundPart:
    """What a search for one part found."""

    part: Part
    title: str
    paths: tuple[Path, ...]
    """Empty when it is missing, or for a tokenizer inside the text encoder's file."""
    problem: str | None
    """One line to show when it is missing or incomplete, else ``None``."""


def resolve_model(model: str | Path) -> Path:
    """Return the folder of ``model``: ``"tiny"``, which is bundled, or a folder's path.

    Raises:
        WeightsError: If there is no such folder.
    """
    if str(model) == "tiny":
        return Path(__file__).parents[2] / "assets" / "tiny"
    try:
        folder = user_path(model, "model")
    except InvalidInputError as error:
        raise WeightsError(str(error)) from error
    if not is_folder(folder):
        name = shown_path(model)
        if is_file(folder):
            raise WeightsError(f"model '{name}': this is a file; name the folder it is in")
        raise WeightsError(f"model '{name}': no such folder; use 'tiny' or a weights folder")
    if fault := folder_problem(folder):
        raise WeightsError(f"model '{shown_path(model)}': {fault}; choose another folder")
    return folder


def find_model_files(
    folder: Path, audio_layers: Path | None = None, *, look_for_audio_layers: bool = True
) -> ModelFiles:
    """Find every part of the model in ``folder``; only JSON and headers are read.

    Args:
        folder: Of the model.
        audio_layers: File of them for a transformer that has none; ``None`` looks for one there.
        look_for_audio_layers: Whether ``None`` does.

    Raises:
        WeightsError: If a part is missing (names that were tried, where it is published), if
            a shard is missing, or if a JSON file cannot be read.
    """
    is_wanted = audio_layers is not None or look_for_audio_layers
    layers = _layers(folder, audio_layers) if is_wanted else NO_AUDIO_LAYERS
    return model_files({part: _find(folder, part, layers) for part in get_args(Part)}, folder)


def list_parts(folder: Path) -> tuple[FoundPart, ...]:
    """Return what was found of each part, for a report; a missing part raises no error."""
    return tuple(_look_for(folder, part) for part in get_args(Part))


def _look_for(folder: Path, part: Part) -> FoundPart:
    title = PARTS[part].title
    try:
        return FoundPart(part, title, _find(folder, part, _layers(folder)), None)
    except WeightsError as error:
        if part == "tokenizer" and error.subject == "text":
            return FoundPart(part, title, (), "needs a text encoder first")
        return FoundPart(part, title, (), str(error))


def _layers(folder: Path, chosen: Path | None = None) -> AudioLayers:
    return AudioLayers(chosen, tuple(folder / name for name in FOLDERS))


def _find(folder: Path, part: Part, layers: AudioLayers) -> tuple[Path, ...]:
    with about(part):
        if part == "dit":
            return layers.complete(in_model_folder(folder, part, BASES).run())
        search = in_model_folder(folder, part)
        if part != "tokenizer":
            return search.run()
        (text,) = _find(folder, "text", layers)
        return find_tokenizer(text, search)
