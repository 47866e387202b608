"""Files of an avatar model in a folder, laid out as by the authors or as for ComfyUI."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, get_args

from ..errors import WeightsError
from .parts import (
    AUDIO_FOLDER,
    AUDIO_FOLDER_FILES,
    DIT_INDEX,
    PARTS,
    SETTINGS_FILE,
    Part,
)


@dataclass(frozen=True)
class ModelFiles:
    """Where each part of an avatar model lies."""

    root: Path
    dit: tuple[Path, ...]
    """One file, or all shards."""
    vae: Path
    text: Path
    tokenizer: Path | None
    """``None`` when the text encoder's file holds it."""
    clip: Path
    audio: Path
    dit_config: dict[str, Any] = field(default_factory=dict)
    """The authors' ``config.json``, which may leave fields out."""
    audio_config: dict[str, Any] = field(default_factory=dict)
    """``config.json`` beside the audio encoder and ``do_normalize`` of its preprocessor."""
    settings: dict[str, Any] = field(default_factory=dict)
    """This project's ``flashtalk.json``: overrides of every configuration."""


@dataclass(frozen=True)
class FoundPart:
    """What a search for one part found."""

    part: Part
    title: str
    paths: tuple[Path, ...]
    """Empty when it is missing, or for a tokenizer inside the text encoder's file."""
    problem: str | None
    """One line to show when it is missing or incomplete, else ``None``."""

    @property
    def size_bytes(self) -> int:
        """Size of its files together."""
        return sum(path.stat().st_size for path in self.paths)


def resolve_model(model: str | Path) -> Path:
    """Return the folder of ``model``: ``"tiny"``, which is bundled, or a folder's path.

    Raises:
        WeightsError: If there is no such folder.
    """
    if str(model) == "tiny":
        return Path(__file__).parents[1] / "assets" / "tiny"
    folder = Path(model).expanduser()
    if not folder.is_dir():
        raise WeightsError(f"model {str(model)!r}: no such folder; use 'tiny' or a weights folder")
    return folder


def find_model_files(folder: Path) -> ModelFiles:
    """Find every part of the model in ``folder``; nothing but small JSON files is read.

    Raises:
        WeightsError: If a part is missing (names that were tried, where it is published), if
            a shard is missing, or if a JSON file cannot be read.
    """
    dit = _find_dit(folder)
    audio = _find_audio(folder)
    return ModelFiles(
        root=folder,
        dit=dit,
        vae=_require(folder, "vae"),
        text=_require(folder, "text"),
        tokenizer=_find(folder, "tokenizer"),
        clip=_require(folder, "clip"),
        audio=audio,
        dit_config=read_json(dit[0].parent / "config.json"),
        audio_config=_read_audio_config(audio.parent),
        settings=read_json(folder / SETTINGS_FILE),
    )


def list_parts(folder: Path) -> tuple[FoundPart, ...]:
    """Return what was found of each part, for a report; a missing part raises nothing."""
    return tuple(_look_for(folder, part) for part in get_args(Part))


def _look_for(folder: Path, part: Part) -> FoundPart:
    title = PARTS[part].title
    try:
        if part == "dit":
            paths = _find_dit(folder)
        elif part == "audio":
            paths = (_find_audio(folder),)
        elif part == "tokenizer":
            path = _find(folder, part)
            return FoundPart(part, title, (path,) if path else (), None)
        else:
            paths = (_require(folder, part),)
    except WeightsError as error:
        return FoundPart(part, title, (), str(error))
    return FoundPart(part, title, paths, None)


def missing_part(folder: Path, part: Part) -> WeightsError:
    """Return the error for a part that was found nowhere."""
    names = PARTS[part]
    return WeightsError(
        f"{names.title} not found in {folder}: looked for {names.wanted}; "
        f"download it from the Hugging Face repository {names.published}"
    )


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in ``path``, empty if there is no such file."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(f"{path}: not readable as JSON ({error}); download it again") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{path}: expected a JSON object; download it again")
    return values


def _matches(folder: Path, pattern: str) -> list[Path]:
    """Return files of ``folder`` whose name matches, without case, in order of name."""
    if not folder.is_dir():
        return []
    entries = sorted(folder.iterdir())
    return [p for p in entries if p.is_file() and fnmatch(p.name.lower(), pattern.lower())]


def _subfolders(folder: Path, pattern: str) -> list[Path]:
    """Return folders below ``folder`` that match ``pattern``, compared without case."""
    found = [folder]
    for step in pattern.lower().split("/"):
        children = [c for parent in found if parent.is_dir() for c in sorted(parent.iterdir())]
        found = [c for c in children if c.is_dir() and fnmatch(c.name.lower(), step)]
    return found


def _search(folder: Path, part: Part) -> list[Path]:
    """Return the files of the first pattern that matches, the folder itself first."""
    names = PARTS[part]
    places = [folder, *(sub for name in names.folders for sub in _subfolders(folder, name))]
    for place in places:
        for pattern in names.patterns:
            matches = _matches(place, pattern)
            if matches:
                return matches
    return []


def _find(folder: Path, part: Part) -> Path | None:
    matches = _search(folder, part)
    return matches[0] if matches else None


def _require(folder: Path, part: Part) -> Path:
    path = _find(folder, part)
    if path is None:
        raise missing_part(folder, part)
    return path


def _find_dit(folder: Path) -> tuple[Path, ...]:
    """Return the transformer's one file or all its shards, each of which must be there."""
    matches = _search(folder, "dit")
    if not matches:
        raise missing_part(folder, "dit")
    first = matches[0]
    if first.name.lower() == DIT_INDEX:
        return _require_shards(first.parent, _indexed_shards(first), f"named in {first.name}")
    stem, _, count = first.stem.rpartition("-of-")
    if not (stem and count.isdigit()):
        return (first,)
    prefix = stem.rpartition("-")[0]
    shards = [f"{prefix}-{i:05}-of-{count}{first.suffix}" for i in range(1, int(count) + 1)]
    return _require_shards(first.parent, shards, f"one of {int(count)} shards")


def _indexed_shards(index: Path) -> list[str]:
    """Return the names of the shards an index tells of."""
    files = read_json(index).get("weight_map")
    names = set(map(str, files.values())) if isinstance(files, dict) else set()
    if not names:
        raise WeightsError(f"{index}: names no shard; download it again")
    return sorted(names)


def _require_shards(folder: Path, names: list[str], reason: str) -> tuple[Path, ...]:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise WeightsError(
            f"{folder / missing[0]}: {reason} but missing ({len(missing)} of {len(names)} are); "
            f"resume the download of the Hugging Face repository {PARTS['dit'].published}"
        )
    return tuple(folder / name for name in names)


def _find_audio(folder: Path) -> Path:
    """Return the audio encoder's file, loose or in a folder of the library's own layout."""
    loose = _find(folder, "audio")
    if loose is not None:
        return loose
    for parent in (folder, folder / "audio_encoders", folder.absolute().parent):
        for place in _subfolders(parent, AUDIO_FOLDER):
            for name in AUDIO_FOLDER_FILES:
                if (place / name).is_file():
                    return place / name
    names = PARTS["audio"]
    raise WeightsError(
        f"{names.title} not found in {folder}: looked for {names.wanted}, and for a folder "
        f"{AUDIO_FOLDER}/ inside or beside it with {' or '.join(AUDIO_FOLDER_FILES)}; "
        f"download it from the Hugging Face repository {names.published}"
    )


def _read_audio_config(folder: Path) -> dict[str, Any]:
    """Return the settings beside the audio encoder, empty unless they are a wav2vec2's."""
    config = read_json(folder / "config.json")
    if config.get("model_type") != "wav2vec2":
        return {}
    preprocessor = read_json(folder / "preprocessor_config.json")
    return config | {key: preprocessor[key] for key in ("do_normalize",) if key in preprocessor}
