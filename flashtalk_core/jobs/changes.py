"""What of a render differs from one that was interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from itertools import zip_longest
from typing import Any

from ..engine.request import PromptChange
from ..engine.spec import (
    ChunkSpec,
    FramesSpec,
    LoraSpec,
    ModelSpec,
    PlacementSpec,
    RenderSpec,
    SamplingSpec,
    Speaker,
)
from ..excerpt import excerpt

_MOST = 3
_SECTIONS = (RenderSpec, Speaker, SamplingSpec, ChunkSpec, ModelSpec, PlacementSpec, FramesSpec)
_NAMES = {
    "portrait": "image",
    "start_s": "start",
    "duration_s": "duration",
    "loudness_lufs": "loudness",
    "prompt_changes": "prompt-at",
    "size_px": "size",
    "num_frames": "chunk-frames",
    "num_motion_frames": "motion-frames",
    "name": "model",
    "loras": "lora",
    "disabled": "without",
    "cluster": "ray",
    "offset_s": "speaker-start",
}
"""Names of options by fields of a spec, where they differ by more than dashes."""


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
    if name == "speakers":
        for pair in zip_longest(older, newer, fillvalue=Speaker()):
            yield from _changes("", *pair)
    elif isinstance(older, _SECTIONS):
        for each in fields(older):
            yield from _changes(each.name, getattr(older, each.name), getattr(newer, each.name))
    else:
        option = _NAMES.get(name, name.replace("_", "-"))
        yield f"{option} {_plain(name, newer)} was {_plain(name, older)}"


def _plain(name: str, value: Any) -> str:
    """Return a value as a user would write it, as far as there is one."""
    if value is None or value == ():
        return "not given"
    if name == "size_px":
        return "x".join(map(str, value))
    if isinstance(value, tuple):
        return excerpt(" ".join(_plain("", each) for each in value))
    if isinstance(value, PromptChange):
        return f"{value.start_s:g} {excerpt(value.prompt)!r}"
    if isinstance(value, LoraSpec):
        return f"{value.path}:{value.strength:g}"
    if isinstance(value, float):
        return f"{value:g}"
    return repr(excerpt(value)) if name == "prompt" else excerpt(value)
