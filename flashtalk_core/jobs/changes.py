"""What of a render differs from one that was interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from ..engine.spec import RenderSpec, subject_of
from ..excerpt import excerpt

_MOST = 3


def whole_paths(spec: RenderSpec) -> RenderSpec:
    """Return ``spec`` with paths that do not depend on the working folder."""
    speakers = tuple(replace(each, audio=_absolute(each.audio)) for each in spec.speakers)
    return replace(spec, portrait=_absolute(spec.portrait), speakers=speakers)


def describe_changes(older: RenderSpec, newer: RenderSpec) -> str:
    """Return in a few words how two specs differ, such as ``seed 1 was 2``."""
    found = list(_changes("", older, newer))
    if not found:
        return "a file, a version or a device changed"
    more = f" and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return ", ".join(found[:_MOST]) + more


def _changes(name: str, older: Any, newer: Any) -> Iterator[str]:
    if older == newer:
        return
    if is_dataclass(older) and type(older) is type(newer):
        for each in fields(older):
            yield from _changes(each.name, getattr(older, each.name), getattr(newer, each.name))
        return
    yield f"{subject_of(name)} {excerpt(repr(newer))} was {excerpt(repr(older))}"


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(Path(path).expanduser().absolute())
