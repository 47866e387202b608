"""Settings of the JSON files that come with weights, checked before anything is built from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from ...config.avatar import AvatarConfig, FramingConfig
from ...config.chunk import ChunkConfig
from ...config.networks import (
    AudioEncoderConfig,
    ClipVisionConfig,
    DiTConfig,
    TextEncoderConfig,
    VAEConfig,
)
from ...config.sampling import SamplingConfig
from ...errors import InvalidInputError, about
from ...settings import check_settings, from_settings, key_in
from ..model_sources import ModelSources
from .sizes import Shapes, Sizes, numbers_in

SectionT = TypeVar("SectionT")

# The authors call these fields by shorter names in their ``config.json``.
_DIT_ALIASES = {
    "intermediate_dim": "audio_intermediate_dim",
    "output_dim": "audio_output_dim",
    "context_tokens": "audio_context_tokens",
}
_SECTIONS: dict[str, type] = {
    "dit": DiTConfig,
    "vae": VAEConfig,
    "text": TextEncoderConfig,
    "clip": ClipVisionConfig,
    "audio": AudioEncoderConfig,
    "chunk": ChunkConfig,
    "sampling": SamplingConfig,
    "framing": FramingConfig,
}
_PLAIN = ("name", "prompt", "size_px", "known_sizes_px", "speaker_routing")

# Settings that are numbers of layers: the names that are numbered in the weights, and by how
# many the setting may exceed them.
_NUMBERED = {
    ("dit", "num_layers"): (r"blocks\.(\d+)\.", 0),
    ("text", "num_layers"): (r"encoder\.block\.(\d+)\.", 0),
    # The last block of the published tower is not needed, and not in every file.
    ("clip", "num_layers"): (r"encoder\.layers\.(\d+)\.", 1),
    ("audio", "num_hidden_layers"): (r"encoder\.layers\.(\d+)\.", 0),
    ("vae", "num_res_blocks"): (r"encoder\.downsamples\.(\d+)\.", 0),
}


class ModelSettings:
    """Settings of one model by section, each value of the type and within the limits it needs."""

    def __init__(self, model: ModelSources) -> None:
        """Check the settings that were read.

        Raises:
            InvalidInputError: If one cannot be used; it names file, section and key.
        """
        self._own = model.settings.values
        self.sources: dict[tuple[str, str], str] = {}
        """File that sets a value, by section and key."""
        self.values: dict[str, dict[str, Any]] = {name: {} for name in _SECTIONS}
        dit = {_DIT_ALIASES.get(key, key): value for key, value in model.dit_config.values.items()}
        with about("dit"):
            self._add("dit", dit, model.dit_config.label)
        with about("audio"):
            self._add("audio", model.audio_config.values, model.audio_config.label)
        for section in _SECTIONS:
            if section in self._own:
                label = f"{model.settings.label}: {section}"
                self._add(section, self._own[section], label)
        self._plain = check_settings(AvatarConfig, self._only_plain(), model.settings.label)
        self._weights = {
            "dit": model.dit,
            "vae": model.vae,
            "text": model.text,
            "clip": model.clip,
            "audio": model.audio,
        }

    def weights(self, section: str) -> str:
        """Return the label of the first source that a section is about; empty if there is none."""
        return next((source.label for source in self._weights.get(section, ())), "")

    def read(
        self, kind: type[SectionT], section: str, sizes: Sizes, certain: Sizes | None = None
    ) -> SectionT:
        """Return a section.

        Args:
            kind: Its class.
            section: Its name.
            sizes: What the weights say of what no file sets.
            certain: What the weights say whatever files set: they may be of other weights.
        """
        certain = certain or {}
        sizes = sizes | certain
        weights = self.weights(section)
        with about(section):
            check_settings(kind, sizes, weights)
        origins = [self.sources[section, key] for key in self.values[section]]
        if origins:
            return from_settings(kind, sizes | self.values[section] | certain, origins[0])
        with about(section):
            return from_settings(kind, sizes, f"{weights}, without flashtalk.json or config.json")

    def plain(self) -> Sizes:
        """Return the settings that are in no section."""
        return self._plain

    def _only_plain(self) -> dict[str, Any]:
        return {key: self._own[key] for key in _PLAIN if key in self._own}

    def _add(self, section: str, values: Any, where: str) -> None:
        checked = check_settings(_SECTIONS[section], values, where)
        self.values[section] |= checked
        self.sources |= {(section, key): where for key in checked}


def check_counts(given: ModelSettings, shapes: Mapping[str, Shapes]) -> None:
    """Compare numbers of layers in settings with those in the weights.

    Args:
        given: The settings.
        shapes: Of the tensors of each part, under the model's names.

    Raises:
        InvalidInputError: If the weights have fewer.
    """
    for (section, key), (pattern, more) in _NUMBERED.items():
        count = given.values[section].get(key)
        found = len(numbers_in(shapes[section], pattern))
        # Weights without any are another file, which is reported with its tensors' names.
        if count is not None and found and count > found + more:
            raise InvalidInputError(
                f"{key_in(given.sources[section, key], key)} {count}, but {given.weights(section)} "
                f"holds {found}"
            )
