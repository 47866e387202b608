"""Files of a transformer that is stored in shards."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import WeightsError
from .json_file import read_json
from .parts import PARTS

_SHARD = re.compile(r"(.+)-(\d{1,5})-of-(\d{1,5})")
_INDEX_SUFFIX = ".index.json"


def is_index(path: Path) -> bool:
    """Whether ``path`` is called as the index of a sharded file."""
    return path.name.lower().endswith(_INDEX_SUFFIX)


def shard_set(path: Path) -> str | None:
    """Return what the names of a set of shards have in common; ``None`` if it is no shard."""
    match = _SHARD.fullmatch(path.stem)
    return f"{match[1]}-of-{match[3]}{path.suffix}" if match else None


def with_all_shards(path: Path) -> tuple[Path, ...]:
    """Return the files that ``path`` stands for: itself, or the shards it is one or the index of.

    Raises:
        WeightsError: If a shard is missing, or if the index names none.
    """
    if is_index(path):
        return _require_shards(path.parent, _indexed_shards(path), f"named in {path.name}")
    match = _SHARD.fullmatch(path.stem)
    if match is None:
        return (path,)
    stem, number, count = match.groups()
    width = len(number)
    shards = [f"{stem}-{i:0{width}}-of-{count}{path.suffix}" for i in range(1, int(count) + 1)]
    return _require_shards(path.parent, shards, f"one of {int(count)} shards")


def _indexed_shards(index: Path) -> list[str]:
    """Return the names of the shards an index tells of."""
    files = read_json(index).get("weight_map")
    names = set(map(str, files.values())) if isinstance(files, dict) else set()
    if not names:
        raise WeightsError(f"{index}: names no shard; download it again")
    return sorted(names)


def _require_shards(folder: Path, names: list[str], reason: str) -> tuple[Path, ...]:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise WeightsError(
            f"{folder / missing[0]}: {reason} but missing ({len(missing)} of {len(names)} are); "
            f"resume the download of {PARTS['dit'].published}"
        )
    return tuple(folder / name for name in names)
