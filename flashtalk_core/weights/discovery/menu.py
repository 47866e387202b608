"""Transformers on disk, as entries of a menu."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from ...errors import WeightsError
from ...excerpt import shown_path
from ...files.paths import is_file, is_folder
from ..formats.suffixes import GGUF, SAFETENSORS
from .parts import PARTS
from .search import usual_name
from .shards import shard_set

_MAX_DEPTH = 3
"""Levels of folders that are walked below one that was given."""


def list_transformers(folders: Sequence[Path]) -> list[str]:
    """Return what may be a transformer in ``folders``; no file is opened.

    Args:
        folders: Searched with their sub-folders; those that do not exist are skipped.

    Returns:
        Names relative to their folder, with ``/`` on every system, sorted, each once: files,
        and in place of shards the folder that holds them, with ``/`` at the end. Shards that
        are in one of ``folders`` itself are named by their first.
    """
    names = {name for folder in folders for name in _names(folder, "", 0, set())}
    return sorted(names, key=lambda name: (name.casefold(), name))


def resolve_choice(folders: Sequence[Path], name: str) -> Path:
    """Return the file or folder that an entry of :func:`list_transformers` stands for.

    Args:
        folders: As given for the list; the first that has ``name`` is used.
        name: The entry.

    Raises:
        WeightsError: If it is in none of ``folders`` (any more).
    """
    relative = Path(name)
    if name and not relative.anchor and ".." not in relative.parts:
        for folder in folders:
            path = folder / relative
            if is_folder(path) if name.endswith("/") else is_file(path):
                return path
    where = ", ".join(map(str, folders)) or "any folder (none is known for it)"
    raise WeightsError(
        f"{PARTS['dit'].title} '{shown_path(name)}' not found in {where}; choose another or "
        "put it back"
    )


def _names(folder: Path, prefix: str, depth: int, seen: set[Path]) -> Iterator[str]:
    """Yield entries of ``folder``; a folder reached by two links is walked once."""
    real, files, folders = _look_into(folder)
    if real in seen:
        return
    seen.add(real)
    yield from _file_names(files, prefix)
    if depth < _MAX_DEPTH:
        for entry in folders:
            yield from _names(entry, f"{prefix}{entry.name}/", depth + 1, seen)


def _look_into(folder: Path) -> tuple[Path, list[Path], list[Path]]:
    """Return the resolved path of ``folder``, its weights and its folders, in order of name."""
    try:
        # Hidden folders are caches of downloads.
        entries = sorted(e for e in folder.iterdir() if not e.name.startswith("."))
        files = [entry for entry in entries if _may_be_transformer(entry)]
        return folder.resolve(), files, [entry for entry in entries if entry.is_dir()]
    except OSError:
        # Absent or not readable: the menu shows the rest.
        return folder, [], []


def _file_names(files: list[Path], prefix: str) -> Iterator[str]:
    sets: set[str] = set()
    for path in files:
        shards = shard_set(path)
        if shards is None:
            yield prefix + path.name
        elif shards not in sets:
            sets.add(shards)
            yield prefix or path.name


def _may_be_transformer(path: Path) -> bool:
    """Whether ``path`` is named as weights, and not as another part of a model."""
    name = usual_name(path)
    if not name.endswith((*SAFETENSORS, *GGUF)) or not is_file(path):
        return False
    others = (pattern for part in PARTS if part != "dit" for pattern in PARTS[part].patterns)
    return not any(fnmatch(name, pattern.lower()) for pattern in others)
