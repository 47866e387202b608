"""All errors of a model's files at once; no weights are read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from ..errors import WeightsError
from .discovery.choice import find_part, find_tokenizer_of
from .discovery.parts import PARTS, Part
from .formats.tensor_file import check_header
from .mapping.key_maps import Rename, audio_name, clip_name, same_name, text_name

_REQUIRED_TENSORS: dict[Part, tuple[Rename, tuple[str, ...]]] = {
    "dit": (same_name, ("patch_embedding.weight", "audio_proj.proj1.weight")),
    "vae": (same_name, ("encoder.conv1.weight", "conv2.weight")),
    "text": (text_name, ("encoder.embed_tokens.weight", "encoder.final_layer_norm.weight")),
    "clip": (clip_name, ("embeddings.class_embedding", "embeddings.patch_embedding.weight")),
    "audio": (
        audio_name,
        ("encoder.layer_norm.weight", "feature_extractor.conv_layers.0.conv.weight"),
    ),
}
"""Parameters that every file of a part has, by the names the model gives them."""
_NO_AUDIO = (
    "holds a Wan 2.1 transformer without audio layers, which cannot follow speech; take the "
    f"transformer of {PARTS['dit'].published}"
)
_ONLY_AUDIO = (
    "holds audio layers without the transformer they belong to; take the transformer of "
    f"{PARTS['dit'].published}"
)


@dataclass(frozen=True)
class PartError:
    """What is wrong with one part, in one line for users."""

    part: Part
    message: str


def find_part_errors(
    places: Mapping[Part, Sequence[Path]],
    chosen: Mapping[Part, Path],
    without: Collection[Part] = (),
) -> list[PartError]:
    """Return what is wrong with each part, as far as names and headers show.

    Args:
        places: As for :func:`choose_model_files`.
        chosen: As for :func:`choose_model_files`.
        without: Parts that are not checked.
    """
    errors = []
    for part in get_args(Part):
        if part in without or (part == "tokenizer" and "text" in without):
            continue
        try:
            _check_part(part, places, chosen)
        except WeightsError as error:
            errors.append(PartError(part, str(error)))
        except OSError as error:
            where = error.filename or PARTS[part].title
            errors.append(PartError(part, f"{where}: cannot be read ({error.strerror})"))
    if "text" in {error.part for error in errors}:  # which may contain the tokenizer
        errors = [error for error in errors if error.part != "tokenizer"]
    return errors


def _check_part(
    part: Part, places: Mapping[Part, Sequence[Path]], chosen: Mapping[Part, Path]
) -> None:
    if part == "tokenizer":
        find_tokenizer_of(find_part("text", places, chosen)[0], places, chosen)
        return
    paths = find_part(part, places, chosen)
    headers = [check_header(path) for path in paths]
    if None not in headers:
        names = {name for header in headers for name in header or ()}
        _check_kind(part, paths[0], names)


def _check_kind(part: Part, path: Path, names: Collection[str]) -> None:
    """Refuse a file of another part or model, by its tensors."""
    missing = _missing_tensors(part, names)
    if not missing:
        return
    title = PARTS[part].title
    other = next((kind for kind in _REQUIRED_TENSORS if not _missing_tensors(kind, names)), None)
    if other is not None:
        raise WeightsError(
            f"{path}: holds a model's {PARTS[other].title}, not its {title}; choose another file"
        )
    if part == "dit" and len(missing) == 1:
        raise WeightsError(f"{path}: {_NO_AUDIO if 'audio_proj' in missing[0] else _ONLY_AUDIO}")
    shown = ", ".join(sorted(names)[:3]) or "none"
    raise WeightsError(
        f"{path}: no {title} that is known, its {len(names)} tensors have other names "
        f"({shown}, ...); choose another file, or download it from {PARTS[part].published}"
    )


def _missing_tensors(part: Part, names: Iterable[str]) -> list[str]:
    rename, required = _REQUIRED_TENSORS[part]
    found = {target.name for name in names for target in rename(name)}
    return [name for name in required if name not in found]
