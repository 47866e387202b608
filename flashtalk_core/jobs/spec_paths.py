"""Files that a spec names."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

from ..engine.spec import RenderSpec
from ..files.paths import is_file, is_folder
from ..media.places import is_place

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
        face_detector=_absolute(spec.face_detector),
        frames=replace(spec.frames, upscale=_absolute(spec.frames.upscale)),
        model=replace(model, **parts, loras=loras),
    )


def source_files(spec: RenderSpec) -> list[Path]:
    """Return the files that a render is made from, other than those of its model."""
    masks = (each.mask for each in spec.speakers)
    names = [
        spec.portrait,
        *(each.audio for each in spec.speakers),
        *(mask for mask in masks if mask is not None and not is_place(mask)),
        spec.soundtrack,
        spec.face_detector,
        spec.frames.upscale,
    ]
    return [Path(name) for name in names if name is not None]


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
