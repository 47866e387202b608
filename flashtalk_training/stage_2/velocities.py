"""Transformers bound to their conditions; everything is projected again at every call.

Axis legend: B sessions, T latent frames, h w latent cells, F video frames, W window, S hidden
layers, A audio features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flashtalk_core.models.transformer.model import AvatarDiT

from ..losses import predicted_data
from .rollout import Velocity
from .scenes import Conditions


def velocity_of(dit: AvatarDiT, conditions: Conditions) -> Velocity:
    """Bind a transformer to its conditions; everything is projected again at every call.

    Autocast's weight cache is off: weights cast in a call without gradient would have none in the
    next, and a call could not be recorded.
    """

    def velocity(x: Tensor, level: Tensor, windows: Tensor) -> Tensor:
        kind = x.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda", cache_enabled=False):
            session = dit.project_session(conditions.condition, conditions.text, conditions.clip)
            audio = dit.project_audio(windows)
            out: Tensor = dit(x, 1000 * level, session, audio)
        return out.float()

    return velocity


def judge(
    dit: AvatarDiT,
    condition: Tensor,
    clip: Tensor,
    text: Tensor,
    windows: Tensor,
    noisy: Tensor,
    level: Tensor,
) -> Tensor:
    """Return the clean latents that ``dit`` predicts."""
    velocity = velocity_of(dit, Conditions(condition, clip, text, text))
    return predicted_data(noisy, velocity(noisy, level, windows), level)
