"""The speech corpus as one small file: audio in mu-law, mouth tracks, phonemes, voices.

Axis legend: S segments, F frames of all segments in a row, N = 640 F samples.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashtalk_core.borders import library_border
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.excerpt import excerpt
from flashtalk_core.files.replacing import replacing
from flashtalk_core.json_text import parse_json

from ..drawn_faces.motion import FRAME_RATE_HZ, MOUTH_CHANNELS
from .speech import SAMPLE_RATE_HZ
from .visemes import PHONEME_CLASSES

SAMPLES_PER_FRAME = SAMPLE_RATE_HZ // FRAME_RATE_HZ
"""Samples for each frame."""
_FORMAT = "flashtalk-corpus-1"
_MU = 255.0
_SIGNED = np.array([name == "width" for name in MOUTH_CHANNELS])


class Segment(NamedTuple):
    """A stretch of one voice's speech, or of silence, with the mouth that goes with it."""

    samples: NDArray[np.float32]
    """``(640 F,)`` in ``[-1, 1]`` at 16 kHz."""
    mouth: NDArray[np.float32]
    """``(F, 6)``, channels ``MOUTH_CHANNELS``."""
    phonemes: NDArray[np.uint8]
    """``(F,)``, indices into ``PHONEME_CLASSES``."""
    voice: str
    """Name of the voice, or ``silence``."""
    held_out: bool


@dataclass(frozen=True)
class Corpus:
    """A corpus as it lies in its file; segments are unpacked one at a time."""

    audio: NDArray[np.uint8]
    """``(N,)`` mu-law."""
    mouth: NDArray[np.uint8]
    """``(F, 6)``."""
    phonemes: NDArray[np.uint8]
    """``(F,)``."""
    starts: NDArray[np.int32]
    """``(S + 1,)`` first frame of each segment, and the end."""
    voice_ids: NDArray[np.int32]
    """``(S,)``, indices into ``voices``."""
    held_out: NDArray[np.uint8]
    """``(S,)``, 1 for segments that are never trained on."""
    voices: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.voice_ids)

    def indices(self, held_out: bool) -> list[int]:
        """Return the segments of one part."""
        return [int(i) for i in np.flatnonzero(self.held_out == held_out)]

    def num_frames(self, index: int) -> int:
        """Return the length of segment ``index``."""
        return int(self.starts[index + 1] - self.starts[index])

    def segment(self, index: int) -> Segment:
        """Unpack segment ``index``."""
        start, stop = int(self.starts[index]), int(self.starts[index + 1])
        return Segment(
            decode_mu_law(self.audio[start * SAMPLES_PER_FRAME : stop * SAMPLES_PER_FRAME]),
            unpack_mouth(self.mouth[start:stop]),
            self.phonemes[start:stop],
            self.voices[int(self.voice_ids[index])],
            bool(self.held_out[index]),
        )


def pack_corpus(segments: list[Segment]) -> Corpus:
    """Put segments into one corpus."""
    names = list(dict.fromkeys(segment.voice for segment in segments))
    lengths = [len(segment.mouth) for segment in segments]
    return Corpus(
        audio=np.concatenate([encode_mu_law(segment.samples) for segment in segments]),
        mouth=np.concatenate([pack_mouth(segment.mouth) for segment in segments]),
        phonemes=np.concatenate([segment.phonemes for segment in segments]),
        starts=np.cumsum([0, *lengths]).astype(np.int32),
        voice_ids=np.array([names.index(segment.voice) for segment in segments], np.int32),
        held_out=np.array([segment.held_out for segment in segments], np.uint8),
        voices=tuple(names),
    )


def join_corpora(corpora: list[Corpus]) -> Corpus:
    """Put corpora into one, their segments in a row."""
    names = list(dict.fromkeys(name for corpus in corpora for name in corpus.voices))
    starts = [corpus.starts[:-1] for corpus in corpora]
    ends = np.cumsum([0, *(int(corpus.starts[-1]) for corpus in corpora)])
    voice_ids = [
        np.array([names.index(name) for name in corpus.voices], np.int32)[corpus.voice_ids]
        for corpus in corpora
    ]
    shifted = [part + end for part, end in zip(starts, ends, strict=False)]
    return Corpus(
        audio=np.concatenate([corpus.audio for corpus in corpora]),
        mouth=np.concatenate([corpus.mouth for corpus in corpora]),
        phonemes=np.concatenate([corpus.phonemes for corpus in corpora]),
        starts=np.concatenate([*shifted, ends[-1:]]).astype(np.int32),
        voice_ids=np.concatenate(voice_ids),
        held_out=np.concatenate([corpus.held_out for corpus in corpora]),
        voices=tuple(names),
    )


def save_corpus(corpus: Corpus, path: Path) -> None:
    """Write the corpus to a safetensors file, under a temporary name first."""
    from safetensors.numpy import save_file

    tensors = {name: getattr(corpus, _FIELDS.get(name, name)) for name in _TENSORS}
    metadata = {
        "format": _FORMAT,
        "voices": json.dumps(corpus.voices),
        "mouth_channels": json.dumps(MOUTH_CHANNELS),
        "phoneme_classes": json.dumps(PHONEME_CLASSES),
    }
    with replacing(path) as temporary:
        save_file(tensors, str(temporary), metadata=metadata)


def load_corpus(path: Path) -> Corpus:
    """Read a corpus.

    Raises:
        InvalidInputError: The file is not there or is no corpus.
    """
    tensors, metadata = _read(path, _TENSORS)
    with library_border(partial(_damaged, path)):
        fields = {_FIELDS.get(name, name): values for name, values in tensors.items()}
        corpus = Corpus(**fields, voices=tuple(parse_json(metadata["voices"])))
        is_whole = _is_whole(corpus)
    if not is_whole:
        raise _damaged(path, "its parts do not go together")
    return corpus


def _is_whole(corpus: Corpus) -> bool:
    """Whether all parts have the types and lengths they need, and indices lead to something."""
    num_frames, num_segments = len(corpus.phonemes), len(corpus.voice_ids)
    shapes = {
        "sound": (num_frames * SAMPLES_PER_FRAME,),
        "mouth": (num_frames, len(MOUTH_CHANNELS)),
        "phonemes": (num_frames,),
        "starts": (num_segments + 1,),
        "voice_ids": (num_segments,),
        "held_out": (num_segments,),
    }
    parts = {name: getattr(corpus, _FIELDS.get(name, name)) for name in shapes}
    has_forms = all(parts[name].shape == shape for name, shape in shapes.items())
    has_types = all(parts[name].dtype == dtype for name, dtype in _DTYPES.items())
    return bool(
        has_forms
        and has_types
        and (corpus.starts[0], corpus.starts[-1]) == (0, num_frames)
        and (np.diff(corpus.starts) >= 0).all()
        and (corpus.phonemes < len(PHONEME_CLASSES)).all()
        and all(isinstance(voice, str) for voice in corpus.voices)
        and ((corpus.voice_ids >= 0) & (corpus.voice_ids < len(corpus.voices))).all()
    )


def corpus_minutes(path: Path) -> float:
    """Return the length of a corpus without reading its audio; raises as :func:`load_corpus`."""
    tensors, _ = _read(path, ("starts",))
    with library_border(partial(_damaged, path)):
        return int(tensors["starts"][-1]) / FRAME_RATE_HZ / 60


def _read(path: Path, names: Iterable[str]) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return some tensors of a corpus, and its metadata."""
    from safetensors import safe_open

    if not path.is_file():
        raise InvalidInputError(f"corpus {path}: no such file; `train corpus` makes it")
    with (
        library_border(partial(_damaged, path)),
        safe_open(str(path), framework="numpy") as file,
    ):
        metadata = file.metadata() or {}
        if metadata.get("format") != _FORMAT:
            found = excerpt(metadata.get("format", "unknown"))
            raise InvalidInputError(f"corpus {path}: format {found}, need {_FORMAT}; make it again")
        return {name: file.get_tensor(name) for name in names}, metadata


def _damaged(path: Path, reason: str) -> InvalidInputError:
    return InvalidInputError(
        f"corpus {path}: not a safetensors file that is whole ({reason}); `train corpus --again` "
        "makes it again"
    )


_DTYPES = {
    "sound": np.uint8,
    "mouth": np.uint8,
    "phonemes": np.uint8,
    "starts": np.int32,
    "voice_ids": np.int32,
    "held_out": np.uint8,
}
_TENSORS = tuple(_DTYPES)
_FIELDS = {"sound": "audio"}
"""Fields of a corpus whose tensor in the file has another name."""


def encode_mu_law(samples: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return 8-bit mu-law codes of samples in ``[-1, 1]``; 0 is code 128 exactly."""
    clipped = np.clip(samples, -1.0, 1.0)
    level = np.sign(clipped) * np.log1p(_MU * np.abs(clipped)) / np.log1p(_MU)
    return (np.round(127.0 * level) + 128).astype(np.uint8)


def decode_mu_law(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the samples of mu-law codes, float32 in ``[-1, 1]``."""
    level = (codes.astype(np.float32) - 128.0) / 127.0
    samples = np.sign(level) * np.expm1(np.abs(level) * np.log1p(_MU)) / _MU
    return np.clip(samples, -1.0, 1.0).astype(np.float32)


def pack_mouth(track: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return a mouth track ``(F, 6)`` in steps of 1/254; 0 stays 0 in every channel."""
    level = np.where(_SIGNED, 0.5 + 0.5 * np.clip(track, -1, 1), np.clip(track, 0, 1))
    return np.round(254.0 * level).astype(np.uint8)


def unpack_mouth(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the mouth track of :func:`pack_mouth`."""
    level = codes.astype(np.float32) / 254.0
    return np.where(_SIGNED, 2.0 * level - 1.0, level).astype(np.float32)
