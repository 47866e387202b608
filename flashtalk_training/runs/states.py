"""Saved states of a run: tensors in shards small enough to travel, with notes."""

from __future__ import annotations

import math
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from torch import Tensor

from flashtalk_core.borders import library_border
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.excerpt import excerpt
from flashtalk_core.files.replacing import replacing

SHARD_BYTES = 15_000_000
_ENTRY_BYTES, _NOTES_BYTES = 160, 2_000
"""Bytes in a file's header for a tensor, without its name, and for the notes."""
_STEP = "step"
_COUNT = "shards"
"""Note with the number of shards that belong together."""


def save_state(
    folder: Path, name: str, tensors: dict[str, Tensor], notes: dict[str, float]
) -> None:
    """Write tensors as shards, files of at most 15 MB, so that each part of a run travels easily.

    A tensor larger than that is a shard of its own.

    All shards are written before the first takes the place of an earlier state's.

    Raises:
        OutputError: If a shard cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    shards = _split(tensors)
    metadata = {key: repr(float(value)) for key, value in notes.items()}
    metadata[_COUNT] = str(len(shards))
    paths = [_shard_path(folder, name, index) for index in range(len(shards))]
    with ExitStack() as stack:
        for path, shard in zip(paths, shards, strict=True):
            temporary = stack.enter_context(replacing(path))
            try:
                save_file(shard, temporary, metadata=metadata)
            except SafetensorError as error:
                # The library wraps the system's error.
                raise OSError(str(error)) from error
    for old in _shards(folder, name):
        if old not in paths:
            old.unlink()


def load_state(folder: Path, name: str) -> tuple[dict[str, Tensor], dict[str, float]] | None:
    """Read what :func:`save_state` wrote; ``None`` if there is nothing.

    Raises:
        InvalidInputError: If a shard is missing, damaged or of another state.
    """
    from safetensors.torch import load_file

    notes = load_notes(folder, name)
    if notes is None:
        return None
    tensors: dict[str, Tensor] = {}
    for path in _shards(folder, name):
        with library_border(partial(_unreadable, path)):
            tensors.update(load_file(path))
    return tensors, notes


def begin_from(source: Path, folder: Path, name: str) -> None:
    """Let a stage begin with the averaged weights of another run, its budget unspent.

    A state in ``folder`` is kept.

    Raises:
        InvalidInputError: If ``source`` has no whole state ``name``.
    """
    if load_notes(folder, name) is not None:
        return
    saved = load_state(source, name)
    if saved is None:
        raise InvalidInputError(f"{source}: no state {name!r} to begin from; name another folder")
    average = {key: value for key, value in saved[0].items() if key.startswith("average.")}
    save_state(folder, name, average, {_STEP: 0.0, "spent_s": 0.0})


def load_notes(folder: Path, name: str) -> dict[str, float] | None:
    """Read the notes of a state alone; ``None`` if there is nothing.

    Raises:
        InvalidInputError: See :func:`load_state`.
    """
    paths = _shards(folder, name)
    if not paths:
        return None
    metadata = [_metadata(path) for path in paths]
    with library_border(partial(_unreadable, paths[0])):
        count = int(metadata[0].get(_COUNT, 0))
        notes = {key: float(value) for key, value in metadata[0].items() if key != _COUNT}
    # As many as there are at the most: a count in a damaged file may be of any size.
    expected = {_shard_path(folder, name, index) for index in range(min(count, len(paths) + 1))}
    if set(paths) != expected or any(other != metadata[0] for other in metadata):
        raise InvalidInputError(
            f"{folder}: {len(paths)} shards of state {name!r} instead of {excerpt(count)} of one "
            f"state; restore them all, or remove {name}-*.safetensors to train the stage again"
        )
    is_number = all(map(math.isfinite, notes.values())) and _STEP in notes
    if not is_number:
        raise _unreadable(paths[0], "its notes are no numbers, or without a step")
    return notes


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with library_border(partial(_unreadable, path)), safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def _unreadable(path: Path, reason: str) -> InvalidInputError:
    return InvalidInputError(
        f"{path}: not a whole safetensors file ({reason}); remove the stage's state"
    )


def _shard_path(folder: Path, name: str, index: int) -> Path:
    return folder / f"{name}-{index}.safetensors"


def _shards(folder: Path, name: str) -> list[Path]:
    return sorted(folder.glob(f"{name}-*.safetensors"))


def _split(tensors: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    size = _NOTES_BYTES
    for key, value in tensors.items():
        more = value.nbytes + len(key) + _ENTRY_BYTES
        if size + more > SHARD_BYTES and shards[-1]:
            shards.append({})
            size = _NOTES_BYTES
        shards[-1][key] = value.detach().contiguous().cpu()
        size += more
    return shards
