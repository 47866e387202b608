"""An evaluation clip: portrait, audio, and the mouth track that a model should reproduce."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from ..drawn_faces.styles import TRAINED, Style
from ..speech.corpus_file import SAMPLES_PER_FRAME, Corpus

HELD_OUT_FACE_SEED = 7_000_001
"""Faces from this seed on are drawn for no training."""
_SPOKEN = 0.05
"""Mean opening below which a held-out segment counts as silence and is left out."""


class ArrayAudio:
    """Samples in memory, read as :class:`SampleReader`."""

    def __init__(self, samples: NDArray[np.float32]) -> None:
        """Keep ``samples``, mono at the analysis rate."""
        self._samples = samples

    def read(self, start_sample: int, stop_sample: int) -> NDArray[np.float32]:
        """Return ``[start, stop)``, zeros outside."""
        window = np.zeros(stop_sample - start_sample, np.float32)
        first, last = max(0, start_sample), min(len(self._samples), stop_sample)
        if first < last:
            window[first - start_sample : last - start_sample] = self._samples[first:last]
        return window


@dataclass(frozen=True)
class LoopedAudio:
    """Speech that starts over when it ends."""

    samples: NDArray[np.float32]
    """Mono at 16 kHz."""
    offset: int = 0
    """First sample that is read."""

    def at(self, frame: int) -> Self:
        """Return the same audio from another frame on."""
        return replace(self, offset=frame * SAMPLES_PER_FRAME)

    def read(self, start_sample: int, stop_sample: int) -> NDArray[np.float32]:
        """Return ``[start, stop)``, zeros before the beginning."""
        length = len(self.samples)
        silence = np.zeros(max(0, min(0, stop_sample) - start_sample), np.float32)
        first = max(0, start_sample) + self.offset
        parts, left = [silence], max(0, stop_sample) - max(0, start_sample)
        while left > 0:
            part = self.samples[first % length : first % length + left]
            parts.append(part)
            first, left = first + len(part), left - len(part)
        return np.concatenate(parts)


@dataclass(frozen=True)
class EvalClip:
    """One face and the audio it speaks."""

    portrait: Tensor
    """``(3, H, W)`` float32 in ``[0, 1]``."""
    samples: NDArray[np.float32]
    """Mono at 16 kHz."""
    mouth: Tensor
    """True mouth, ``(F, 6)``, at 25 a second."""
    phonemes: NDArray[np.uint8]
    """What is said in each frame, ``(F,)``, indices into ``PHONEME_CLASSES``."""
    face: int = 0
    """Which held-out face the portrait is."""
    style: Style = TRAINED
    """How it is drawn."""

    @property
    def opening(self) -> Tensor:
        """Its opening, ``(F,)``."""
        return self.mouth[:, 0]


def held_out_face(index: int, style: Style = TRAINED) -> Any:
    """Return held-out face ``index`` of a style, a batch of one."""
    return style.sample(1, Generator().manual_seed(HELD_OUT_FACE_SEED + index))


def held_out_clips(
    corpus: Corpus, count: int, size_px: tuple[int, int], style: Style = TRAINED
) -> list[EvalClip]:
    """Return ``count`` clips of held-out speech, a new face of ``style`` each."""
    clips: list[EvalClip] = []
    for index in corpus.indices(held_out=True):
        segment = corpus.segment(index)
        if segment.mouth[:, 0].mean() < _SPOKEN:
            continue
        face, mouth = len(clips), torch.from_numpy(segment.mouth)
        portrait = style.portraits(held_out_face(face, style), size_px)[0]
        clips.append(EvalClip(portrait, segment.samples, mouth, segment.phonemes, face, style))
        if len(clips) == count:
            break
    return clips


def held_out_speech(corpus: Corpus) -> LoopedAudio:
    """Return all held-out segments in a row."""
    segments = [corpus.segment(index).samples for index in corpus.indices(held_out=True)]
    return LoopedAudio(np.concatenate(segments))
