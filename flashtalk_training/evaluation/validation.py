"""What a transformer in training makes of a few held-out faces and voices, as strips of frames."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.weights.load import AvatarModels

from ..speech.corpus_file import Corpus
from .batched_sessions import Sessions
from .contact_sheet import contact_row, save_image
from .eval_clip import ArrayAudio, held_out_clips

_NUM_CLIPS = 3
_NUM_CHUNKS = 3


class Validation:
    """Writes ``validation-STEP.png``: a row for each session, the portrait first."""

    def __init__(self, models: AvatarModels, corpus: Corpus, folder: Path) -> None:
        """Prepare.

        Args:
            models: All networks but the transformer.
            corpus: Its held-out part speaks.
            folder: Where the images go.
        """
        self._models, self._folder = models, folder
        self._clips = held_out_clips(corpus, _NUM_CLIPS, models.config.size_px)

    def __call__(self, dit: AvatarDiT, step: int) -> None:
        """Play the first seconds with ``dit`` as it is at ``step``."""
        sessions = Sessions(
            dataclasses.replace(self._models, dit=dit),
            torch.stack([clip.portrait for clip in self._clips]),
            [ArrayAudio(clip.samples) for clip in self._clips],
            self._models.config.sampling,
        )
        videos = torch.cat(list(sessions.play(_NUM_CHUNKS)), dim=1).cpu()
        rows = [
            contact_row(clip.portrait, video)
            for clip, video in zip(self._clips, videos, strict=True)
        ]
        save_image(torch.cat(rows, dim=1), self._folder / f"validation-{step}.png")
