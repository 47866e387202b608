"""All errors of a model's files at once; no weights are read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from ..errors import WeightsError
from .discovery.audio_layers import NO_AUDIO_LAYERS, AudioLayers
from .discovery.choice import find_part, find_tokenizer_of
from .discovery.parts import PARTS, Part
from .formats.tensor_file import check_header
from .mapping.kinds import check_kind


@dataclass(frozen=True)
class PartError:
    """What is wrong with one part, in one line for users."""

    part: Part
    message: str
    subject: str
    """What of it: the part, or ``audio_layers``."""


def find_part_errors(
    places: Mapping[Part, Sequence[Path]],
    chosen: Mapping[Part, Path],
    without: Collection[Part] = (),
    audio_layers: AudioLayers = NO_AUDIO_LAYERS,
) -> list[PartError]:
    """Return what is wrong with each part, as far as names and headers show.

    Args:
        places: As for :func:`choose_model_files`.
        chosen: As for :func:`choose_model_files`.
        without: Parts that are not checked.
        audio_layers: As for :func:`choose_model_files`.
    """
    errors = []
    for part in get_args(Part):
        if part in without or (part == "tokenizer" and "text" in without):
            continue
        try:
            _check_part(part, places, chosen, audio_layers)
        except WeightsError as error:
            errors.append(PartError(part, str(error), error.subject or part))
        except OSError as error:
            where = error.filename or PARTS[part].title
            errors.append(PartError(part, f"{where}: cannot be read ({error.strerror})", part))
    if "text" in {error.part for error in errors}:  # which may contain the tokenizer
        errors = [error for error in errors if error.part != "tokenizer"]
    return errors


def _check_part(
    part: Part,
    places: Mapping[Part, Sequence[Path]],
    chosen: Mapping[Part, Path],
    audio_layers: AudioLayers,
) -> None:
    if part == "tokenizer":
        find_tokenizer_of(find_part("text", places, chosen)[0], places, chosen)
        return
    paths = find_part(part, places, chosen, audio_layers)
    headers = [check_header(path) for path in paths]
    if None not in headers:
        names = {name for header in headers for name in header or ()}
        check_kind(part, str(paths[0]), names)
