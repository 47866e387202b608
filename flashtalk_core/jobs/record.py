"""The state file of a render that is not complete: what it takes to go on exactly where it was.

A safetensors file beside the partial video, small and whole at any moment: the motion frames that
the next chunk begins with, and everything else as JSON in its header.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from ..borders import library_border
from ..engine.spec import RenderSpec
from ..engine.state import SessionState
from ..errors import InvalidInputError, require
from ..excerpt import excerpt, shown_path
from ..files.whole_file import replacing
from ..json_text import parse_json
from ..media.video.partial_file import PartialMark
from ..settings import read_plain

VERSION = 2
"""Of the file; increased when a field changes its meaning, is renamed or removed."""
MAX_BYTES = 2 << 30
"""Largest file that is read. Five frames of 4096x4096 pixels take 1.0 GB."""
_TENSOR = "motion_frames"
_ENTRY = "flashtalk_job"
_CRC_ENTRY = "flashtalk_job_crc32"
"""Of the bytes of the other one: a digit that was changed would let a render go on elsewhere."""
_CHANNELS = 3


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """How far a render has come."""

    key: str
    """Hash of everything that determines the video, the encoder's settings included."""
    spec: RenderSpec
    """What was asked for, with whole paths; pictures and audio in memory are not part of it."""
    crf: int
    chunk_index: int
    """The chunk that comes next; those before are in the partial file."""
    fingerprint: str
    """Of the session."""
    num_frames: int
    """Frames in the partial file up to the mark."""
    total_frames: int
    """Frames of the whole video."""
    num_bytes: int
    """Length of the partial file at the mark."""
    crc32: int
    """Of these bytes."""
    num_attempts: int = 1
    """Runs of this render, the one that wrote this included."""
    saved_s: int = field(default_factory=lambda: round(time.time()))
    """When it was written, seconds since 1970, by a clock that may be set."""
    motion_frames: Tensor | None = field(default=None, repr=False)
    """``(1, 3, M, H, W)`` float32 in ``[-1, 1]``, on the CPU."""

    @property
    def state(self) -> SessionState:
        """The session where it goes on."""
        return SessionState(self.chunk_index, self.motion_frames, self.fingerprint)

    @property
    def mark(self) -> PartialMark:
        """Where the partial file goes on."""
        return PartialMark(self.num_bytes, self.crc32)

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            OSError: If it cannot be written.
        """
        assert self.motion_frames is not None, "after a chunk there are motion frames"
        frames = self.motion_frames.detach().float().cpu().contiguous()
        fields = {name: value for name, value in vars(self).items() if name != _TENSOR}
        fields |= {"version": VERSION, "spec": json.loads(self.spec.to_json())}
        fields["frames_crc32"] = _crc32(frames)
        # ``save_file`` has a temporary file of its own, which would stay behind a killed process.
        text = json.dumps(fields)
        data = save({_TENSOR: frames}, {_ENTRY: text, _CRC_ENTRY: _crc32_of(text)})
        with replacing(path) as aside:
            aside.write_bytes(data)

    @classmethod
    def read(cls, path: Path, *, with_frames: bool = True) -> JobRecord:
        """Read a file that :meth:`write` has written.

        Args:
            path: The file.
            with_frames: Whether the motion frames are read and checked as well.

        Raises:
            InvalidInputError: If it is damaged, of another version, or something else.
            OSError: If it cannot be read.
        """
        size = path.stat().st_size
        require(size <= MAX_BYTES, f"{_shown(path)}: {size} bytes; at most {MAX_BYTES} are read")
        with (
            library_border(
                lambda reason: InvalidInputError(f"{_shown(path)}: damaged ({reason})"),
                passing=(OSError,),
            ),
            safe_open(path, "pt") as file,
        ):
            entries = file.metadata() or {}
            # A copy: Windows neither replaces nor removes a file that memory is mapped to.
            frames = file.get_tensor(_TENSOR).clone() if with_frames else None
        return _read(entries, frames, _shown(path), with_frames=with_frames)


@dataclass(frozen=True, kw_only=True)
class _Fields:
    """The plain fields of a file; see :class:`JobRecord`."""

    key: str
    crf: int
    chunk_index: int
    fingerprint: str
    num_frames: int
    total_frames: int
    num_bytes: int
    crc32: int
    frames_crc32: int
    num_attempts: int
    saved_s: int


def _read(
    entries: Mapping[str, str], frames: Tensor | None, where: str, *, with_frames: bool
) -> JobRecord:
    text = entries.get(_ENTRY, "")
    try:
        values: Any = parse_json(text)
    except ValueError as error:
        raise InvalidInputError(f"{where}: no state of a render ({error})") from error
    require(isinstance(values, dict), f"{where}: no state of a render")
    version = values.pop("version", None)
    require(
        type(version) is int and version == VERSION,
        f"{where}: version {excerpt(repr(version))}; this FlashTalk reads version {VERSION}",
    )
    require(entries.get(_CRC_ENTRY) == _crc32_of(text), f"{where}: damaged (its checksum differs)")
    spec = RenderSpec.from_json(json.dumps(values.pop("spec", None)))
    fields: _Fields = read_plain(_Fields, values, where)
    _check_counts(fields, where)
    if with_frames:
        _check_frames(frames, fields.frames_crc32, where)
    plain = asdict(fields)
    del plain["frames_crc32"]
    return JobRecord(**plain, spec=spec, motion_frames=frames)


def _check_counts(fields: _Fields, where: str) -> None:
    counts = fields.chunk_index, fields.num_frames, fields.num_bytes, fields.num_attempts
    require(
        all(count > 0 for count in counts) and fields.num_frames <= fields.total_frames,
        f"{where}: damaged (chunk {fields.chunk_index}, frame {fields.num_frames} of "
        f"{fields.total_frames}, {fields.num_bytes} bytes)",
    )


def _check_frames(frames: Tensor | None, crc32: int, where: str) -> None:
    require(
        frames is not None
        and frames.dtype == torch.float32
        and frames.ndim == 5
        and frames.shape[:2] == (1, _CHANNELS)
        and _crc32(frames) == crc32,
        f"{where}: its motion frames are damaged",
    )


def _crc32(frames: Tensor) -> int:
    return zlib.crc32(frames.numpy().tobytes())


def _crc32_of(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _shown(path: Path) -> str:
    return f"state {shown_path(path)}"
