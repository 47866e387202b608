"""Windows of speech with the mouth that belongs to them, cut and disturbed on the device.

Axis legend: B windows, F video frames, S samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from flashtalk_core.config.chunk import ChunkConfig

from ..speech.corpus_file import SAMPLES_PER_FRAME, Corpus, decode_mu_law, unpack_mouth


@dataclass(frozen=True)
class AudioBank:
    """One part of a corpus on a device."""

    audio: Tensor
    """Mu-law codes of the audio at 16 kHz, ``(frames * 640,)`` uint8."""
    decoded: Tensor
    """Sample of each mu-law code, ``(256,)`` float32."""
    mouth: Tensor
    """Mouth track, ``(frames, 6)`` float32."""
    classes: Tensor
    """Phoneme class of each frame, ``(frames,)`` int64."""
    starts: Tensor
    """First frame of each segment, ``(segments,)`` int64."""
    lengths: Tensor
    """Frames of each segment, ``(segments,)`` int64."""

    @classmethod
    def from_corpus(cls, corpus: Corpus, held_out: bool, device: torch.device) -> Self:
        """Take the held-out or the training part of ``corpus``."""
        rows = corpus.indices(held_out)
        return cls(
            audio=torch.from_numpy(corpus.audio).to(device),
            decoded=torch.from_numpy(decode_mu_law(np.arange(256, dtype=np.uint8))).to(device),
            mouth=torch.from_numpy(unpack_mouth(corpus.mouth)).to(device),
            classes=torch.from_numpy(corpus.phonemes).long().to(device),
            starts=torch.tensor([int(corpus.starts[i]) for i in rows], device=device),
            lengths=torch.tensor([corpus.num_frames(i) for i in rows], device=device),
        )


def mouth_tracks(corpus: Corpus, held_out: bool) -> Tensor:
    """Return the mouths of one part of ``corpus`` in a row, ``(N, 6)`` float32."""
    rows = [corpus.mouth[corpus.starts[i] : corpus.starts[i + 1]] for i in corpus.indices(held_out)]
    return torch.from_numpy(unpack_mouth(np.concatenate(rows)))


@dataclass(frozen=True)
class Windows:
    """Cut windows."""

    samples: Tensor
    """``(B, S)`` float32, zeros outside the segment."""
    mouth: Tensor
    """``(B, F, 6)`` float32, closed outside the segment."""
    classes: Tensor
    """``(B, F)`` int64, 0 (silence) outside the segment."""


def cut_windows(bank: AudioBank, segment: Tensor, first: Tensor, num_frames: int) -> Windows:
    """Cut windows that may reach over the ends of their segments.

    Args:
        bank: The corpus.
        segment: Segment of each window, ``(B,)`` int64.
        first: First frame relative to the segment, ``(B,)`` int64; may be negative.
        num_frames: F.

    Returns:
        The windows, on the bank's device.
    """
    device = segment.device
    frames = first[:, None] + torch.arange(num_frames, device=device)
    inside = (frames >= 0) & (frames < bank.lengths[segment][:, None])
    rows = torch.where(inside, frames + bank.starts[segment][:, None], 0)
    offsets = torch.arange(SAMPLES_PER_FRAME, device=device)
    places = (rows[..., None] * SAMPLES_PER_FRAME + offsets).flatten(1)
    audible = inside.repeat_interleave(SAMPLES_PER_FRAME, dim=1)
    return Windows(
        samples=bank.decoded[bank.audio[places].long()] * audible,
        mouth=bank.mouth[rows] * inside[..., None],
        classes=torch.where(inside, bank.classes[rows], 0),
    )


def stretch(windows: Windows, num_frames: int) -> Windows:
    """Play each window faster or slower, voice and mouth alike, and keep its middle.

    Speed moves pitch and formants with it: other voices out of the same ones.

    Args:
        windows: Longer than needed, ``(B, S)`` samples and F frames.
        num_frames: Frames kept.

    Returns:
        Windows of ``num_frames`` frames.
    """
    batch, device = windows.samples.shape[0], windows.samples.device
    longest = windows.mouth.shape[1] / num_frames
    rate = 1 / longest + (longest - 1 / longest) * torch.rand(batch, 1, device=device)
    num_samples = num_frames * SAMPLES_PER_FRAME
    return Windows(
        samples=_resample(windows.samples[..., None], rate, num_samples)[..., 0],
        mouth=_resample(windows.mouth, rate, num_frames),
        classes=_resample(windows.classes[..., None].float(), rate, num_frames, "nearest")[
            ..., 0
        ].long(),
    )


def _resample(values: Tensor, rate: Tensor, count: int, mode: str = "bilinear") -> Tensor:
    """Read ``(B, n, C)`` at ``count`` places ``rate`` apart around the middle."""
    length = values.shape[1]
    offsets = torch.arange(count, device=values.device) - (count - 1) / 2
    # Grid coordinates run from -1 to 1 over the centres of the first and the last value.
    places = 2 * rate * offsets / (length - 1)
    grid = torch.stack([places, torch.zeros_like(places)], dim=-1)[:, None]
    image = values.transpose(1, 2)[:, :, None]
    read = torch.nn.functional.grid_sample(image, grid, mode=mode, align_corners=True)
    return read[:, :, 0].transpose(1, 2)


def draw_windows(
    bank: AudioBank, batch: int, chunk: ChunkConfig, margin_frames: int = 0
) -> Windows:
    """Draw analysis windows around random chunks, over the ends of segments now and then.

    Args:
        bank: The corpus.
        batch: B.
        chunk: Arithmetic of a chunk.
        margin_frames: Frames more on either side, for :func:`stretch`.

    Returns:
        Windows of 8 s, every frame of the corpus about equally likely.
    """
    device = bank.starts.device
    weights = bank.lengths.float()
    segment = torch.multinomial(weights, batch, replacement=True)
    span = bank.lengths[segment] + chunk.num_new_frames
    new = (torch.rand(batch, device=device) * span).long() - chunk.num_new_frames
    first = new - (chunk.audio_lookback_frames - chunk.num_motion_frames) - margin_frames
    return cut_windows(bank, segment, first, chunk.audio_context_frames + 2 * margin_frames)


def disturb(windows: Windows) -> Windows:
    """Add room noise and a random tone colour; now and then leave only noise, mouth closed."""
    samples = _colour_tone(windows.samples)
    batch, device = samples.shape[0], samples.device
    level = samples.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-3)
    below_db = 15 + 45 * torch.rand(batch, 1, device=device)
    noise = torch.randn_like(samples) * level * 10 ** (-below_db / 20)
    noisy = (torch.rand(batch, 1, device=device) < 0.5).float()
    # A window of noise or of digital silence alone is a closed mouth, whatever its level.
    empty = torch.rand(batch, 1, device=device) < 0.04
    digital = torch.rand(batch, 1, device=device) < 0.5
    alone = torch.where(digital, torch.zeros_like(noise), noise)
    return Windows(
        samples=torch.where(empty, alone, samples + noisy * noise),
        mouth=windows.mouth * ~empty[..., None],
        classes=windows.classes * ~empty,
    )


def _colour_tone(samples: Tensor) -> Tensor:
    """Filter by a random smooth gain over frequency, up to 9 dB up or down."""
    batch, device = samples.shape[0], samples.device
    spectrum = torch.fft.rfft(samples)
    points_db = 6 * torch.randn(batch, 1, 6, device=device).clamp(-1.5, 1.5)
    gain_db = torch.nn.functional.interpolate(
        points_db, size=spectrum.shape[1], mode="linear", align_corners=True
    )[:, 0]
    return torch.fft.irfft(spectrum * 10 ** (gain_db / 20), n=samples.shape[1])
