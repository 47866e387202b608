"""Training of the tiny wav2vec2 encoder: it learns phonemes and mouth shapes.

Axis legend: B windows, F video frames, C features.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.models.encoders.audio import AudioEncoder

from ..drawn_faces.motion import MOUTH_CHANNELS
from ..recipe import AudioRecipe
from ..runs.seeds import MEASURE_SEED, fixed_draws
from ..runs.training_run import Moment, TrainingRun
from ..speech.corpus_file import Corpus
from ..speech.visemes import PHONEME_CLASSES
from .audio_windows import AudioBank, Windows, disturb, draw_windows, stretch

_NUM_MOUTH = len(MOUTH_CHANNELS)
_NUM_HELD_OUT = 32


class MouthReader(nn.Module):
    """The encoder with a small head that reads all its layers; the head is thrown away."""

    def __init__(self, config: AvatarConfig) -> None:
        super().__init__()
        audio = config.audio
        self.encoder = AudioEncoder(audio)
        width = audio.hidden_size * audio.num_hidden_layers
        self.head = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 128), nn.GELU(),
            nn.Linear(128, _NUM_MOUTH + len(PHONEME_CLASSES)),
        )  # fmt: skip

    def forward(self, samples: Tensor, num_frames: int) -> tuple[Tensor, Tensor]:
        """Read ``(B, S)`` samples.

        Args:
            samples: 16 kHz audio.
            num_frames: F.

        Returns:
            Mouth track ``(B, F, 6)`` and logits of phoneme classes ``(B, F, classes)``.
        """
        out = self.head(self.encoder(samples, num_frames).flatten(2))
        return out[..., :_NUM_MOUTH], out[..., _NUM_MOUTH:]


def reader_loss(mouth: Tensor, logits: Tensor, windows: Windows) -> Tensor:
    """Return squared error of the mouth (opening and closure count more) plus cross-entropy."""
    weights = mouth.new_tensor([4.0, 1.0, 1.0, 2.0, 0.5, 0.5])
    error = ((mouth.float() - windows.mouth).square() * weights).mean()
    return error + 0.1 * F.cross_entropy(logits.float().flatten(0, 1), windows.classes.flatten())


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Return the correlation of two tracks over all their values."""
    a, b = a.float().flatten() - a.float().mean(), b.float().flatten() - b.float().mean()
    return (a * b).sum() / (a.norm() * b.norm()).clamp(min=1e-8)


class AudioTrainer:
    """Trains the encoder; every part of a run is one call of :meth:`run`."""

    def __init__(
        self,
        config: AvatarConfig,
        recipe: AudioRecipe,
        corpus: Corpus,
        device: torch.device,
        folder: Path,
        seed: int,
    ) -> None:
        torch.manual_seed(seed)
        self._recipe, self._device, self._chunk = recipe, device, config.chunk
        self._train = AudioBank.from_corpus(corpus, False, device)
        self._held_out = AudioBank.from_corpus(corpus, True, device)
        self.model = MouthReader(config).to(device)
        self._training = TrainingRun("audio", self.model, recipe.optimiser, folder, seed)

    def run(
        self, budget_s: float, part_s: float, now: Callable[[], float] = time.monotonic
    ) -> bool:
        """Train for one part of the budget and return whether the budget is spent."""
        return self._training.run(budget_s, part_s, self._loss, self.measure, now)

    def _loss(self, moment: Moment) -> Tensor:  # noqa: ARG002 - the same from first to last
        windows = draw_windows(
            self._train, self._recipe.batch, self._chunk, self._recipe.margin_frames
        )
        windows = disturb(stretch(windows, self._chunk.audio_context_frames))
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            mouth, logits = self.model(windows.samples, windows.mouth.shape[1])
        return reader_loss(mouth, logits, windows)

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Return how well held-out mouths and phonemes are read, the same ones every time."""
        with fixed_draws(self._device, MEASURE_SEED):
            windows = draw_windows(self._held_out, _NUM_HELD_OUT, self._chunk)
        mouth, logits = self.model(windows.samples, windows.mouth.shape[1])
        hits = logits.argmax(-1) == windows.classes
        return {
            "held_out_opening_correlation": float(
                correlation(mouth[..., 0], windows.mouth[..., 0])
            ),
            "held_out_class_accuracy": float(hits.float().mean()),
        }
