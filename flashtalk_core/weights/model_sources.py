"""Sources of an avatar model, files or not: tensors of each part, and settings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..excerpt import excerpt
from .formats.file_border import file_identity
from .formats.source import TensorSource

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
    """Tensors of each part of an avatar model, from one or several sources, and settings."""

    dit: Sources
    vae: Sources
    text: Sources
    """None when the model is used without, as of the next."""
    clip: Sources
    audio: Sources
    tokenizer: Path | None = None
    """``None`` when the text encoder's source contains it, or without a text encoder."""
    settings: Settings = Settings("settings of the model")
    """As in ``flashtalk.json``: overrides of every configuration."""
    dit_config: Settings = Settings("settings of the transformer")
    """As in the authors' ``config.json``, which may leave fields out."""
    audio_config: Settings = Settings("settings of the audio encoder")
    """As in ``config.json`` of a wav2vec2."""
    unidentified: str = ""
    """What ``identity`` does not tell although images depend on it, as of a transformer that a
    host has patched; empty where it tells all."""
    is_training_known: bool = True
    """Whether the names of the transformer's sources tell how it was trained."""
    has_host_loras: bool = False
    """Whether a host has LoRAs added to the transformer."""

    def __repr__(self) -> str:
        more = f" and {len(self.dit) - 1} more" if len(self.dit) > 1 else ""
        others = (*self.vae, *self.text, *self.clip, *self.audio)
        names = [excerpt(each.name, 50) for each in others]
        return f"ModelSources({', '.join([excerpt(self.dit[0].name, 50) + more, *names])})"

    @property
    def identity(self) -> str:
        """Identity of every source, and the settings; text for a fingerprint.

        Raises:
            WeightsError: If a source no longer exists.
        """
        settings = (each.values for each in (self.settings, self.dit_config, self.audio_config))
        return model_identity(self._identities(), *settings)

    def _identities(self) -> Iterator[tuple[str, str]]:
        yield from (("dit", each.identity) for each in self.dit)
        yield from (("vae", each.identity) for each in self.vae)
        yield from (("text", each.identity) for each in self.text)
        if self.tokenizer is not None:
            yield "tokenizer", file_identity(self.tokenizer)
        yield from (("clip", each.identity) for each in self.clip)
        yield from (("audio", each.identity) for each in self.audio)


def model_identity(parts: Iterable[tuple[str, str]], *settings: dict[str, Any]) -> str:
    """Join the identities of a model's sources and its settings to one text."""
    values = json.dumps(settings, sort_keys=True)
    return "; ".join([*(f"{part} {identity}" for part, identity in parts), values])
