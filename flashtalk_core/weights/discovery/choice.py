"""Files of an avatar model whose parts are chosen or found one by one, in folders of their kind."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import get_args

from ...errors import WeightsError, about
from ...excerpt import shown_path
from ...files.paths import is_file, is_folder
from ..formats.suffixes import READABLE
from .audio_layers import BASES, NO_AUDIO_LAYERS, AudioLayers
from .files import ModelFiles, model_files
from .parts import PARTS, Part
from .search import in_part_folders, library_files, matching_files
from .shards import is_index, with_all_shards
from .tokenizer import find_tokenizer

_SHARDED = ("*.safetensors.index.json", "*-of-*.safetensors")


def choose_model_files(
    places: Mapping[Part, Sequence[Path]],
    chosen: Mapping[Part, Path],
    without: Collection[Part] = (),
    audio_layers: AudioLayers = NO_AUDIO_LAYERS,
) -> ModelFiles:
    """Find the parts of a model that are spread over folders; only JSON and headers are read.

    ``flashtalk.json`` is looked for next to the transformer.

    Args:
        places: Folders in which each part is looked for under its usual names. A tokenizer is
            looked for next to the text encoder first.
        chosen: Files that were chosen. The transformer may also be an index, one of
            several shards, or a folder of them; the audio encoder a folder of the library's own
            layout.
        without: Parts that are not needed, of ``"text"``, which includes the tokenizer, and
            ``"clip"``.
        audio_layers: Of a transformer that has none.

    Raises:
        WeightsError: If a part or a shard is missing, or if a chosen file cannot be one.
    """
    assert set(without) <= {"text", "clip"}, without
    left_out = {"tokenizer", *without}
    parts = [part for part in get_args(Part) if part not in left_out]
    found = {part: find_part(part, places, chosen, audio_layers) for part in parts}
    if "text" in found:
        found["tokenizer"] = find_tokenizer_of(found["text"][0], places, chosen)
    return model_files(found, found["dit"][0].parent)


def find_part(
    part: Part,
    places: Mapping[Part, Sequence[Path]],
    chosen: Mapping[Part, Path],
    audio_layers: AudioLayers = NO_AUDIO_LAYERS,
) -> tuple[Path, ...]:
    """Return the files of one part; see :func:`choose_model_files`."""
    with about(part):
        if part in chosen:
            found = _chosen_files(part, chosen[part])
        else:
            more = BASES if part == "dit" else ()
            found = in_part_folders(places.get(part, ()), part, more).run()
        return audio_layers.complete(found) if part == "dit" else found


def find_tokenizer_of(
    text: Path, places: Mapping[Part, Sequence[Path]], chosen: Mapping[Part, Path]
) -> tuple[Path, ...]:
    """Return the chosen tokenizer, none if the text encoder contains it, or one nearby."""
    with about("tokenizer"):
        if "tokenizer" in chosen:
            return _chosen_files("tokenizer", chosen["tokenizer"])
        folders = (text.parent, *places.get("tokenizer", ()))
        return find_tokenizer(text, in_part_folders(folders, "tokenizer"))


def _chosen_files(part: Part, path: Path) -> tuple[Path, ...]:
    if is_folder(path):
        path = _file_in(part, path)
    if not is_file(path):
        raise WeightsError(
            f"{PARTS[part].title} {shown_path(path)}: no such file; choose another or put it back"
        )
    is_known = part == "tokenizer" or path.suffix.lower() in READABLE or is_index(path)
    if not is_known:
        reason = f"{path.suffix or 'such'} files are not read; choose one of {', '.join(READABLE)}"
        raise WeightsError(f"{PARTS[part].title} {path}: {reason}")
    return with_all_shards(path) if part == "dit" else (path,)


def _file_in(part: Part, folder: Path) -> Path:
    """Return the file that a chosen folder contains; for a transformer any shard or the index."""
    if part not in ("dit", "audio"):
        raise WeightsError(f"{PARTS[part].title} {folder}: is a folder; choose the file in it")
    if part == "audio" and (files := library_files(folder)):
        return files[0]
    sharded = _SHARDED if part == "dit" else ()
    for pattern in (*sharded, *PARTS[part].patterns):
        if matches := matching_files(folder, pattern):
            return matches[0]
    return _only_file(part, folder)


def _only_file(part: Part, folder: Path) -> Path:
    files = matching_files(folder, "*.safetensors")
    if len(files) != 1:
        raise WeightsError(
            f"{PARTS[part].title} {folder}: {len(files)} safetensors files in this folder, none "
            "of a usual name; choose a folder that holds one model, or a file"
        )
    return files[0]
