"""The audio encoder as a CUDA graph.

Axis legend: B batch, S samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..models.encoders.audio import AudioEncoder, run_encoder
from .recording import (
    Addresses,
    Capture,
    Recording,
    capture,
    fixed_copies,
    is_recording,
    refill,
    report_failure,
)


class EncoderGraph:
    """An :class:`EncoderExecution` that replays the encoder; equal to eager to the bit.

    A session hears windows of one length. Another length, or weights that were moved, make a new
    recording; a gradient, or a recording that failed, none.
    """

    def __init__(self, capture: Capture = capture) -> None:
        """Record nothing yet; ``capture`` is a stand-in in tests."""
        self._capture = capture
        self._recorded: _RecordedEncoder | None = None
        self._has_failed = False

    def __call__(self, encoder: AudioEncoder, samples: Tensor, num_frames: int) -> Tensor:
        """See :class:`EncoderExecution`."""
        is_plain = not torch.is_grad_enabled() and not self._has_failed
        if is_plain and not is_recording(samples.device):
            try:
                return self._replay(encoder, samples, num_frames)
            except Exception as error:  # whatever CUDA and kernels raise; out of memory, too
                self.release()
                self._has_failed = True
                report_failure("the audio encoder", error)
        return run_encoder(encoder, samples, num_frames)

    def release(self) -> None:
        """Free the memory of the recording; the next calls make another."""
        if self._recorded is not None:
            self._recorded = None
            torch.cuda.empty_cache()  # the memory of a graph serves nothing else until then

    def _replay(self, encoder: AudioEncoder, samples: Tensor, num_frames: int) -> Tensor:
        recorded = self._recorded
        if recorded is None or not recorded.serves(samples, num_frames):
            self.release()  # before the next one takes its memory
            recorded = _RecordedEncoder(encoder, samples, num_frames, self._capture)
            self._recorded = recorded
        return recorded(encoder, samples)


class _RecordedEncoder:
    def __init__(
        self, encoder: AudioEncoder, samples: Tensor, num_frames: int, capture: Capture
    ) -> None:
        self._weights = Addresses(encoder.modules())
        self._samples = fixed_copies((samples,))
        self._num_frames = num_frames
        self._recording = Recording(samples.device, capture)

    def serves(self, samples: Tensor, num_frames: int) -> bool:
        """Whether the recording encodes these; ``samples`` are ``(B, S)``."""
        (held,) = self._samples
        is_same = (samples.shape, samples.dtype) == (held.shape, held.dtype)
        return is_same and num_frames == self._num_frames and not self._weights.have_changed()

    def __call__(self, encoder: AudioEncoder, samples: Tensor) -> Tensor:
        refill(self._samples, (samples,))
        (held,) = self._samples
        return self._recording(lambda: run_encoder(encoder, held, self._num_frames))
