"""What of a render differs from one that was interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import zip_longest
from pathlib import Path
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
from ..files.paths import is_file, is_folder
from ..media.masks import is_place

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
_NO_PATHS = {"tiny", "auto", "none"}


def whole_paths(spec: RenderSpec) -> RenderSpec:
    """Return ``spec`` with paths that do not depend on the working folder.

    A name of a model, a part or a LoRA may be one of ComfyUI's menu, which is no path.
    """
    speakers = tuple(
        replace(each, audio=_absolute(each.audio), mask=_absolute_mask(each.mask))
        for each in spec.speakers
    )
    model = spec.model
    names = {each.name: getattr(model, each.name) for each in fields(model) if each.name != "loras"}
    parts = {name: _absolute_if_there(value) for name, value in names.items()}
    loras = tuple(replace(each, path=_absolute_if_there(each.path)) for each in model.loras)
    return replace(
        spec,
        portrait=_absolute(spec.portrait),
        speakers=speakers,
        soundtrack=_absolute(spec.soundtrack),
        frames=replace(spec.frames, upscale=_absolute(spec.frames.upscale)),
        model=replace(model, **parts, loras=loras),
    )


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


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(Path(path).expanduser().absolute())


def _absolute_mask(mask: str | None) -> str | None:
    return mask if mask is not None and is_place(mask) else _absolute(mask)


def _absolute_if_there(name: str) -> str:
    if name in _NO_PATHS:
        return name
    try:
        path = Path(name).expanduser().absolute()
    except RuntimeError:  # a user who is not known
        return name
    return str(path) if is_file(path) or is_folder(path) else name
