"""The tokenizer of a text encoder: a file of its own, or inside a repackaged text encoder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ...errors import WeightsError
from ..formats.scaled_fp8 import tokenizer_tensor
from ..formats.suffixes import SAFETENSORS
from ..formats.tensor_file import check_header
from .parts import PARTS
from .search import Search, matching_files, usual_name


def find_tokenizer(text: Path, search: Search) -> tuple[Path, ...]:
    """Return the tokenizer's own file, none if the text encoder's file contains it.

    The one inside has priority: another model's tokenizer may be in the same folder. Last comes
    another umT5 that contains it.

    Raises:
        WeightsError: If there is none, or if the text encoder's file is damaged.
    """
    if tokenizer_tensor(check_header(text) or ()) is not None:
        return ()
    found = search.first() or _containing((*search.folders, *search.sub_folders))
    if found is None:
        raise WeightsError(
            f"{search.missing()}, 4.5 MB, next to the text encoder, or take "
            "umt5_xxl_fp8_e4m3fn_scaled.safetensors as text encoder, which contains it: "
            f"{PARTS['text'].published}"
        )
    return (found,)


def _containing(folders: Iterable[Path]) -> Path | None:
    """Return a text encoder that contains the tokenizer; headers alone are read."""
    files = (path for folder in folders for path in _text_encoders(folder))
    return next((path for path in files if _contains(path)), None)


def _text_encoders(folder: Path) -> list[Path]:
    found = [path for pattern in PARTS["text"].patterns for path in matching_files(folder, pattern)]
    return [path for path in found if usual_name(path).endswith(SAFETENSORS)]


def _contains(path: Path) -> bool:
    try:
        return tokenizer_tensor(check_header(path) or ()) is not None
    except (WeightsError, OSError):
        return False  # it is not what was asked for
