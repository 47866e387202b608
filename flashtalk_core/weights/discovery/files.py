"""Files of one avatar model and its settings files."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ...config.avatar import AvatarConfig
from ...config.chunk import ChunkConfig
from ...errors import about
from ...excerpt import excerpt
from ...files.paths import is_file
from ...log import printable_log
from ...settings import from_settings
from ..formats.file_border import file_identity
from ..formats.tensor_file import open_tensor_file
from ..model_sources import ModelSources, Settings, Sources, model_identity
from .infinite_talk import defaults_of
from .json_file import read_json
from .parts import SETTINGS_FILE, Part

logger = printable_log(logging.getLogger(__name__))


@dataclass(frozen=True)
class ModelFiles:
    """Location of each part of an avatar model."""

    root: Path
    """Folder of ``flashtalk.json``."""
    dit: tuple[Path, ...]
    """One file, or all shards."""
    vae: Path
    text: Path | None
    """``None`` when the model is used without."""
    tokenizer: Path | None
    """Its own file, or another text encoder's that contains it; ``None`` when the text encoder's
    file contains it, or without a text encoder."""
    clip: Path | None
    """``None`` when the model is used without."""
    audio: Path
    dit_config: dict[str, Any] = field(default_factory=dict)
    """The authors' ``config.json``, which may leave fields out."""
    audio_config: dict[str, Any] = field(default_factory=dict)
    """``config.json`` next to the audio encoder and ``do_normalize`` of its preprocessor."""
    settings: dict[str, Any] = field(default_factory=dict)
    """This project's ``flashtalk.json``: overrides of every configuration."""

    def __repr__(self) -> str:
        more = f" and {len(self.dit) - 1} more" if len(self.dit) > 1 else ""
        others = (self.vae, self.text, self.clip, self.audio)
        names = [excerpt(path.name, 50) for path in others if path is not None]
        return f"ModelFiles({', '.join([excerpt(self.dit[0].name, 50) + more, *names])})"

    @property
    def chunk(self) -> ChunkConfig:
        """Arithmetic of a chunk by the settings.

        Raises:
            InvalidInputError: If they cannot be used.
        """
        where = f"{self.root / SETTINGS_FILE}: chunk"
        own = defaults_of(path.name for path in self.dit)["chunk"]
        return from_settings(ChunkConfig, own | self.settings.get("chunk", {}), where)

    @property
    def identity(self) -> str:
        """Name, size and time of change of every weights file, and the settings.

        Text for a fingerprint.

        Raises:
            WeightsError: If a file no longer exists.
        """
        parts = ((part, file_identity(path)) for part, path in self._used())
        return model_identity(parts, self.settings, self.dit_config, self.audio_config)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every weights file."""
        return tuple(path for _part, path in self._used())

    def _used(self) -> Iterator[tuple[Part, Path]]:
        for path in self.dit:
            yield "dit", path
        others: dict[Part, Path | None] = {
            "vae": self.vae,
            "text": self.text,
            "tokenizer": self.tokenizer,
            "clip": self.clip,
            "audio": self.audio,
        }
        yield from ((part, path) for part, path in others.items() if path is not None)


def model_files(found: Mapping[Part, tuple[Path, ...]], root: Path) -> ModelFiles:
    """Return the files of a model with their settings.

    Args:
        found: Files of each part; text encoder, tokenizer and CLIP may be left out.
        root: Folder in which ``flashtalk.json`` is looked for.

    Raises:
        WeightsError: If a JSON file cannot be read.
    """
    single = {part: paths[0] for part, paths in found.items() if paths}
    dit, audio = found["dit"], single["audio"]
    return ModelFiles(
        root=root,
        dit=dit,
        vae=single["vae"],
        text=single.get("text"),
        tokenizer=single.get("tokenizer"),
        clip=single.get("clip"),
        audio=audio,
        dit_config=read_json(dit[0].parent / "config.json"),
        audio_config=_read_audio_config(audio.parent),
        settings=read_json(root / SETTINGS_FILE),
    )


def open_files(files: ModelFiles) -> ModelSources:
    """Open the files of a model; their headers are read, and no weights.

    Raises:
        WeightsError: If a file is damaged, or a pickle with code.
    """
    return ModelSources(
        dit=_opened("dit", *files.dit),
        vae=_opened("vae", files.vae),
        text=_opened("text", files.text),
        clip=_opened("clip", files.clip),
        audio=_opened("audio", files.audio),
        tokenizer=files.tokenizer,
        settings=Settings(str(files.root / SETTINGS_FILE), files.settings),
        dit_config=Settings(str(files.dit[0].parent / "config.json"), files.dit_config),
        audio_config=Settings(str(files.audio.parent / "config.json"), files.audio_config),
    )


def warn_about_settings(files: ModelFiles) -> None:
    """Log what ``flashtalk.json`` leaves out, where there is one.

    Not when the files are found: ComfyUI looks for them before every run.
    """
    path = files.root / SETTINGS_FILE
    # Of these, models that do not set them need nothing.
    known = {*files.settings, "framing", "speaker_routing"}
    missing = [entry.name for entry in fields(AvatarConfig) if entry.name not in known]
    if missing and is_file(path):
        logger.warning(
            "%s: does not set %s; taken from the weights and from the published model",
            path,
            ", ".join(missing),
        )


def _read_audio_config(folder: Path) -> dict[str, Any]:
    """Return the settings next to the audio encoder, empty unless they are a wav2vec2's."""
    config = read_json(folder / "config.json")
    if config.get("model_type") != "wav2vec2":
        return {}
    preprocessor = read_json(folder / "preprocessor_config.json")
    return config | {key: preprocessor[key] for key in ("do_normalize",) if key in preprocessor}


def _opened(part: Part, *paths: Path | None) -> Sources:
    with about(part):
        return tuple(open_tensor_file(path) for path in paths if path is not None)
