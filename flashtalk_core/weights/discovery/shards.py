"""Files of a transformer that is stored in shards."""

from __future__ import annotations

import re
from pathlib import Path

from ...errors import WeightsError
from ...excerpt import excerpt
from ...files.paths import is_file
from .json_file import read_json
from .parts import PARTS

_SHARD = re.compile(r"(.+)-([0-9]{1,5})-of-([0-9]{1,5})")
_INDEX_SUFFIX = ".index.json"
_MAX_SHARDS = 1_000
_LONGEST_NAME = 255
"""Bytes of a file name that systems allow."""


def is_index(path: Path) -> bool:
    """Whether ``path`` is named as the index of a sharded file."""
    return path.name.lower().endswith(_INDEX_SUFFIX)


def shard_set(path: Path) -> str | None:
    """Return what the names of a set of shards have in common; ``None`` if it is no shard."""
    match = _SHARD.fullmatch(path.stem)
    return f"{match[1]}-of-{match[3]}{path.suffix}" if match else None


def with_all_shards(path: Path) -> tuple[Path, ...]:
    """Return the files that ``path`` stands for: itself, or all shards of its set.

    Raises:
        WeightsError: If a shard is missing, or if the index names none.
    """
    if is_index(path):
        return _require_shards(path.parent, _indexed_shards(path), f"named in {path.name}")
    match = _SHARD.fullmatch(path.stem)
    if match is None:
        return (path,)
    stem, number, count = match.groups()
    if not 1 <= int(number) <= int(count) <= _MAX_SHARDS:
        raise WeightsError(
            f"{path}: shard {int(number)} of {int(count)} cannot be; shards are counted from 1, up "
            f"to {_MAX_SHARDS}; give it the name it was published with"
        )
    width = len(number)
    shards = [f"{stem}-{i:0{width}}-of-{count}{path.suffix}" for i in range(1, int(count) + 1)]
    return _require_shards(path.parent, shards, f"one of {int(count)} shards")


def _indexed_shards(index: Path) -> list[str]:
    """Return the names of the shards in an index."""
    files = read_json(index).get("weight_map")
    if not isinstance(files, dict) or not files:
        raise WeightsError(f"{index}: names no shard; download it again")
    for name in files.values():
        if not _is_shard_name(name):
            raise WeightsError(
                f"{index}: {excerpt(repr(name))} is no name of a safetensors file next to it; "
                "download it again"
            )
    names = sorted(set(files.values()))
    if len(names) > _MAX_SHARDS:
        raise WeightsError(f"{index}: names {len(names)} shards, the limit is {_MAX_SHARDS}")
    return names


def _is_shard_name(name: object) -> bool:
    """Whether ``name`` is one that a file in the folder of the index can have, and nothing else."""
    return (
        isinstance(name, str)
        and name.isprintable()
        and not set(name) & set("/\\:")
        and len(name.encode()) <= _LONGEST_NAME
        and name.lower().endswith(".safetensors")
    )


def _require_shards(folder: Path, names: list[str], reason: str) -> tuple[Path, ...]:
    missing = [name for name in names if not is_file(folder / name)]
    if missing:
        raise WeightsError(
            f"{folder / missing[0]}: {reason} but missing ({len(missing)} of {len(names)} are); "
            f"resume the download of {PARTS['dit'].published}"
        )
    return tuple(folder / name for name in names)
