"""The authors' names for tensors of files that other programs wrote."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from ...errors import WeightsError
from ..discovery.parts import Part
from ..formats.scaled_fp8 import is_sidecar
from ..formats.shown import shown
from ..formats.source import ReadTensor, TensorInfo, TensorSource
from ..model_sources import Sources
from .library_names import (
    has_library_transformer,
    has_library_vae,
    own_transformer_name,
    own_vae_name,
    vae_blocks,
)

# What programs that save a part put before its names, the longest first. ComfyUI's are those of a
# whole checkpoint.
_SAVED = ("model.", "module.")
_PREFIXES: dict[Part, tuple[str, ...]] = {
    "dit": ("model.diffusion_model.", "diffusion_model.", *_SAVED),
    "vae": ("first_stage_model.", "vae.", *_SAVED),
    "text": (
        "text_encoders.umt5xxl.transformer.",
        "umt5xxl.transformer.",
        "text_encoder.",
        *_SAVED,
    ),
    "clip": ("clip_vision.", "image_encoder.", *_SAVED),
    "audio": ("audio_encoder.", *_SAVED),
}
_OTHER_PARTS = (
    "model.diffusion_model.",
    "first_stage_model.",
    "vae.",
    "text_encoders.",
    "cond_stage_model.",
    "clip_vision.",
)
"""Prefixes of what a whole checkpoint has besides."""
_MARKERS = re.compile(r"model_type(\..*)?|v_pred|model_ema\..*|multitalk_model_type(\..*)?")
"""Tensors that say something about a file and are no weights."""


@dataclass(frozen=True)
class NamedSource:
    """A source whose tensors have other names than in the file."""

    source: TensorSource
    stored: Mapping[str, str]
    """Names in the file by those that are published."""

    @property
    def label(self) -> str:
        """That of the file, as are the next two."""
        return self.source.label

    @property
    def name(self) -> str:
        """Its name without the folder."""
        return self.source.name

    @property
    def identity(self) -> str:
        """Text for a fingerprint."""
        return self.source.identity

    @cached_property
    def infos(self) -> Mapping[str, TensorInfo]:
        """Shape and type of every tensor that is kept, by published name."""
        infos = self.source.infos
        return {name: infos[stored] for name, stored in self.stored.items()}

    @contextmanager
    def reading(self) -> Iterator[ReadTensor]:
        """Open for reading by published name, or by that in the file."""
        with self.source.reading() as read:

            def read_one(name: str) -> Tensor:
                return read(self.stored.get(name, name))

            yield read_one


def with_published_names(part: Part, sources: Sources) -> Sources:
    """Return the sources of a part with the authors' names; prefixes and markers are gone.

    Raises:
        WeightsError: If two tensors come to have one name.
    """
    rename = published_names(part, {name for source in sources for name in source.infos})
    named = tuple(renamed(source, rename) for source in sources)
    _check_apart(named)
    return named


def published_names(part: Part, names: Collection[str]) -> Callable[[str], str | None]:
    """Return what gives a tensor of a part its published name, ``None`` for what is no weight.

    Args:
        part: Which one.
        names: Of all its tensors, in every file of it.
    """
    prefix = next((p for p in _PREFIXES.get(part, ()) if any(n.startswith(p) for n in names)), "")
    inner = {name.removeprefix(prefix) for name in names}
    library = _library_rename(part, inner)

    def rename(name: str) -> str | None:
        if _MARKERS.fullmatch(name):
            return None
        if prefix and not name.startswith(prefix):
            # Audio layers of another file have no prefix; other parts of this one have theirs.
            return None if name.startswith(_OTHER_PARTS) else library(name)
        return library(name.removeprefix(prefix))

    return rename


def _check_apart(sources: Sources) -> None:
    """Refuse files that hold the same weights, of which one would replace the other."""
    holders: dict[str, TensorSource] = {}
    for source in sources:
        for name in source.infos:
            if not is_sidecar(name) and name in holders:
                raise WeightsError(
                    f"{source.label}: {shown(name)} is in {holders[name].label} too; audio layers "
                    "of a file of their own are for a transformer that has none"
                )
            holders[name] = source


def _library_rename(part: Part, names: Collection[str]) -> Callable[[str], str]:
    if part == "vae" and has_library_vae(names):
        blocks = vae_blocks(names)
        return lambda name: own_vae_name(name, blocks)
    if part == "dit" and has_library_transformer(names):
        return own_transformer_name
    return str


def renamed(source: TensorSource, rename: Callable[[str], str | None]) -> TensorSource:
    """Return a source with the names that ``rename`` gives, ``None`` for what is left out.

    Raises:
        WeightsError: If two tensors come to have one name.
    """
    stored: dict[str, str] = {}
    for name in source.infos:
        published = rename(name)
        if published is None:
            continue
        if published in stored:
            raise WeightsError(
                f"{source.label}: {shown(stored[published])} and {shown(name)} are the same "
                "tensor; remove one of them, or download the file again"
            )
        stored[published] = name
    is_same = len(stored) == len(source.infos) and all(new == old for new, old in stored.items())
    return source if is_same else NamedSource(source, stored)
