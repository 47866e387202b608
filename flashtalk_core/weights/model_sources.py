"""What an avatar model is made of, wherever it comes from: tensors of each part, and settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import about
from ..excerpt import excerpt
from .discovery.files import ModelFiles, model_identity
from .discovery.parts import SETTINGS_FILE, Part
from .formats.source import TensorSource
from .formats.tensor_file import file_identity, open_tensor_file

Sources = tuple[TensorSource, ...]


@dataclass(frozen=True)
class Settings:
    """Settings that come with a model."""

    label: str
    """Where they are from: the first words of messages about them."""
    values: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Settings({excerpt(self.label)}, {len(self.values)} values)"


@dataclass(frozen=True)
class ModelSources:
    """Tensors of each part of an avatar model, between them if there are several, and settings."""

    dit: Sources
    vae: Sources
    text: Sources
    """None when the model is used without, as of the next."""
    clip: Sources
    audio: Sources
    tokenizer: Path | None = None
    """``None`` when the text encoder's source holds it, or without a text encoder."""
    settings: Settings = Settings("settings of the model")
    """As in ``flashtalk.json``: overrides of every configuration."""
    dit_config: Settings = Settings("settings of the transformer")
    """As in the authors' ``config.json``, which may leave fields out."""
    audio_config: Settings = Settings("settings of the audio encoder")
    """As in ``config.json`` of a wav2vec2."""

    def __repr__(self) -> str:
        more = f" and {len(self.dit) - 1} more" if len(self.dit) > 1 else ""
        others = (*self.vae, *self.text, *self.clip, *self.audio)
        names = [excerpt(each.name, 50) for each in others]
        return f"ModelSources({', '.join([excerpt(self.dit[0].name, 50) + more, *names])})"

    @property
    def identity(self) -> str:
        """Identity of every source, and what the settings say; text for a fingerprint.

        Raises:
            WeightsError: If a source is gone.
        """
        settings = (each.values for each in (self.settings, self.dit_config, self.audio_config))
        return model_identity(self._identities(), *settings)

    def _identities(self) -> Iterator[tuple[Part, str]]:
        yield from (("dit", each.identity) for each in self.dit)
        yield from (("vae", each.identity) for each in self.vae)
        yield from (("text", each.identity) for each in self.text)
        if self.tokenizer is not None:
            yield "tokenizer", file_identity(self.tokenizer)
        yield from (("clip", each.identity) for each in self.clip)
        yield from (("audio", each.identity) for each in self.audio)


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


def _opened(part: Part, *paths: Path | None) -> Sources:
    with about(part):
        return tuple(open_tensor_file(path) for path in paths if path is not None)
