"""What a file holds, told from the names of its tensors: which part, and of which model."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ...errors import WeightsError
from ..discovery.parts import AUDIO_LAYERS, PARTS, Part
from ..formats.shown import some
from ..formats.source import TensorSource
from .key_maps import Rename, audio_name, clip_name, same_name, text_name
from .light_vae import CAUSAL_ENCODER, tae_prefix
from .published_names import published_names

_REQUIRED_TENSORS: dict[Part, tuple[Rename, tuple[str, ...]]] = {
    "dit": (same_name, ("patch_embedding.weight", "audio_proj.proj1.weight")),
    "vae": (same_name, ("encoder.conv1.weight", "conv1.weight")),
    "text": (text_name, ("encoder.embed_tokens.weight", "encoder.final_layer_norm.weight")),
    "clip": (clip_name, ("embeddings.class_embedding", "embeddings.patch_embedding.weight")),
    "audio": (
        audio_name,
        ("encoder.layer_norm.weight", "feature_extractor.conv_layers.0.conv.weight"),
    ),
}
"""Parameters that every file of a part has, by the names the model gives them."""
_BASE, _AUDIO = _REQUIRED_TENSORS["dit"][1]
_IMAGE = "img_emb.proj.1.weight"
_NO_AUDIO = (
    "holds a Wan 2.1 transformer without audio layers, which cannot follow speech; choose "
    f"InfiniteTalk's as audio layers ({AUDIO_LAYERS}), or take FlashTalk's own transformer, "
    f"{PARTS['dit'].published}"
)
_ONLY_AUDIO = (
    "holds audio layers without the transformer they belong to, as InfiniteTalk's file does; "
    "choose it as audio layers and Wan 2.1 image to video, 14B, as model, or take FlashTalk's "
    f"own transformer, {PARTS['dit'].published}"
)
_NO_IMAGE = (
    "holds a transformer without image layers (img_emb), of text to video or of Wan 2.2; take one "
    "of Wan 2.1 image to video, 14B"
)
_ONLY_DECODES = (
    "holds a light autoencoder (TAE), which only decodes, beside the model's own; choose it with "
    "--vae, or as light_vae in FlashTalk Parallel Decode, and here the Wan 2.1 VAE"
)
_NAMES_SHOWN = 3


def check_kind(part: Part, label: str, names: Collection[str]) -> None:
    """Refuse files of another part or model.

    Args:
        part: What they are to be.
        label: First words of a message.
        names: Of their tensors, as the files have them.

    Raises:
        WeightsError: If tensors that every file of the part has are missing.
    """
    missing = _missing_tensors(part, names)
    if part == "dit" and not missing and _IMAGE not in _published(part, names):
        raise WeightsError(f"{label}: {_NO_IMAGE}")
    if not missing:
        return
    title = PARTS[part].title
    before = tae_prefix(names) if part == "vae" else None
    if before is not None and before + CAUSAL_ENCODER not in names:
        raise WeightsError(f"{label}: {_ONLY_DECODES}")
    other = next((kind for kind in _REQUIRED_TENSORS if not _missing_tensors(kind, names)), None)
    if other is not None:
        raise WeightsError(
            f"{label}: holds a model's {PARTS[other].title}, not its {title}; choose another file"
        )
    if part == "dit" and len(missing) == 1:
        raise WeightsError(f"{label}: {_NO_AUDIO if _AUDIO in missing else _ONLY_AUDIO}")
    raise WeightsError(
        f"{label}: no {title} that is known, its {len(names)} tensors have other names "
        f"({some(sorted(names), _NAMES_SHOWN) or 'none'}); choose another file, or download it "
        f"from {PARTS[part].published}"
    )


def check_sources_kind(part: Part, sources: Iterable[TensorSource]) -> None:
    """Refuse sources of another part or model; see :func:`check_kind`."""
    given = tuple(sources)
    if given:
        names = {name for source in given for name in source.infos}
        check_kind(part, given[0].label, names)


def _missing_tensors(part: Part, names: Collection[str]) -> list[str]:
    found = _published(part, names)
    return [name for name in _REQUIRED_TENSORS[part][1] if name not in found]


def _published(part: Part, names: Collection[str]) -> set[str]:
    rename, _ = _REQUIRED_TENSORS[part]
    named = map(published_names(part, names), names)
    return {target.name for name in named if name is not None for target in rename(name)}
