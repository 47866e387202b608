"""Stage 1: flow matching of the diffusion transformer, with its text and image towers.

Axis legend: B samples, T latent frames, h w latent cells, L text tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.engine.reference import image_mask
from flashtalk_core.models.encoders.clip_vision import ClipVision
from flashtalk_core.models.encoders.text import TextEncoder
from flashtalk_core.models.encoders.tokenizer import Tokenizer
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.sampling.schedule import shift_timesteps

from ..losses import flow_matching_loss, noisy_latent
from ..recipe import DiTRecipe
from ..runs.seeds import MEASURE_SEED, fixed_draws
from ..runs.training_run import Moment, TrainingRun
from .clips import ClipBank, ClipBatch
from .movement_codes import CodeLayout, with_codes

_BRANCH_ENDS = (
    "self_attn.o.weight", "cross_attn.o.weight", "audio_cross_attn.proj.weight", "ffn.2.weight",
)  # fmt: skip
"""Last layer of every residual branch."""


@dataclass(frozen=True)
class PromptTokens:
    """All wordings as tokens; the last row is the empty prompt."""

    ids: Tensor
    """``(P + 1, L)`` int64."""
    mask: Tensor
    """``(P + 1, L)`` int64, 1 on tokens."""

    @classmethod
    def encode(
        cls, prompts: list[str], tokenizer: Tokenizer, length: int, device: torch.device
    ) -> Self:
        """Tokenize ``prompts`` to ``length``."""
        tokens = [tokenizer(prompt, length) for prompt in [*prompts, ""]]
        return cls(*(torch.cat(column).to(device) for column in zip(*tokens, strict=True)))


class Stage1Model(nn.Module):
    """The transformer and the two towers trained with it."""

    def __init__(self, config: AvatarConfig) -> None:
        super().__init__()
        self.dit = AvatarDiT(config.dit)
        self.text = TextEncoder(config.text)
        self.clip = ClipVision(config.clip)
        initialise(self.dit)

    def forward(
        self,
        latent: Tensor,
        level: Tensor,
        condition: Tensor,
        portraits: Tensor,
        ids: Tensor,
        mask: Tensor,
        windows: Tensor,
    ) -> Tensor:
        """Predict the velocity.

        Args:
            latent: Noisy clips, ``(B, 16, T, h, w)``.
            level: Noise levels, ``(B,)`` in ``[0, 1]``.
            condition: Mask and encoded image, ``(B, 20, T, h, w)``.
            portraits: ``(B, 3, H, W)`` in ``[-1, 1]``.
            ids: Prompt tokens, ``(B, L)``.
            mask: 1 on tokens, ``(B, L)``.
            windows: Audio features, ``(B, F, 5, S, M)``.

        Returns:
            ``(B, 16, T, h, w)`` float32.
        """
        text = self.text(ids, mask) * mask[..., None]
        session = self.dit.project_session(condition, text, self.clip(portraits))
        audio = self.dit.project_audio(windows)
        return self.dit(latent, 1000 * level, session, audio)


def initialise(dit: AvatarDiT) -> None:
    """Start every block close to the identity and the output at zero."""
    for module in dit.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    nn.init.xavier_uniform_(dit.patch_embedding.weight.flatten(1))
    for name, weight in dit.blocks.named_parameters():
        if name.endswith(_BRANCH_ENDS):
            nn.init.normal_(weight, std=0.02 / len(dit.blocks) ** 0.5)
    nn.init.zeros_(dit.head.head.weight)


def cell_weights(shape: tuple[int, ...], mouth: float, eyes: float = 1.0) -> Tensor:
    """Return ``(1, 1, 1, h, w)``: 1, but ``mouth`` and ``eyes`` on the cells in which these are."""
    height, width = shape[-2:]
    weights = torch.ones(1, 1, 1, height, width)
    rows, aside = slice(height * 3 // 8, height // 2), width // 4
    weights[..., rows, aside : width - aside] = eyes
    weights[..., height // 2 : height - height // 8, width // 4 : width - width // 4] = mouth
    return weights


class DiTTrainer:
    """Trains the transformer; every part of a run is one call of :meth:`run`."""

    def __init__(
        self,
        config: AvatarConfig,
        recipe: DiTRecipe,
        bank: ClipBank,
        held_out: ClipBank,
        tokens: PromptTokens,
        device: torch.device,
        folder: Path,
        seed: int,
    ) -> None:
        torch.manual_seed(seed)
        self._config, self._recipe, self._device = config, recipe, device
        self._bank, self._held_out, self._tokens = bank, held_out, tokens
        chunk = config.chunk
        self._layout = CodeLayout.of_frames(chunk.num_frames, chunk.num_motion_frames)
        self.model = Stage1Model(config).to(device)
        self._training = TrainingRun("dit", self.model, recipe.optimiser, folder, seed)
        compiles = device.type == "cuda"
        self._predict = torch.compile(self.model, dynamic=False) if compiles else self.model

    def run(
        self, budget_s: float, part_s: float, now: Callable[[], float] = time.monotonic
    ) -> bool:
        """Train for one part of the budget and return whether the budget is spent."""
        return self._training.run(budget_s, part_s, self._loss, self.measure, now)

    def _loss(self, moment: Moment) -> Tensor:
        if moment.step and moment.step % self._recipe.refresh_every == 0:
            self._bank.refresh(self._recipe.refresh_clips)
        return self._flow_loss(self._bank.draw(self._recipe.batch))

    def _flow_loss(self, batch: ClipBatch) -> Tensor:
        """Return the flow-matching loss of one batch, some of its conditions dropped."""
        recipe, clean = self._recipe, batch.latents
        count, device = clean.shape[0], clean.device
        level = shift_timesteps(torch.rand(count, device=device), recipe.train_shift)
        noise = torch.randn_like(clean)
        single = torch.rand(count, device=device) < recipe.single_motion_share
        if recipe.coded_movement:
            codes = torch.where(single[:, None], batch.codes[:, 1], batch.codes[:, 0])
            noise = with_codes(noise, codes, self._layout)
        motion = torch.zeros(count, 1, clean.shape[2], 1, 1, device=device)
        motion[:, :, 0] = 1
        motion[:, :, 1] = (~single).float().view(-1, 1, 1, 1)
        start = self._motion_start(batch)
        latent = torch.lerp(noisy_latent(clean, noise, level), start, motion)
        dice = torch.rand(count, device=device)
        no_audio = dice < recipe.drop_all
        no_text = dice < recipe.drop_all + recipe.drop_text
        prompts = torch.where(no_text, self._tokens.ids.shape[0] - 1, batch.prompts)
        windows = batch.windows * ~no_audio.view(-1, 1, 1, 1, 1)
        mask = image_mask(self._config.chunk.num_frames, *clean.shape[-2:]).to(device)
        condition = torch.cat([mask.expand(count, -1, -1, -1, -1), batch.images], dim=1)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            velocity = self._predict(
                latent, level, condition, batch.portraits, self._tokens.ids[prompts],
                self._tokens.mask[prompts], windows,
            )  # fmt: skip
        weights = cell_weights(clean.shape, recipe.mouth_weight, recipe.eye_weight)
        weights = weights.to(device) * (1 - motion)
        return flow_matching_loss(velocity, clean, noise, weights)

    def _motion_start(self, batch: ClipBatch) -> Tensor:
        """Return the clips with the motion latents that the model is shown, some of them damaged.

        What follows damaged frames is the clip as it should be: the model learns to come back.
        """
        start = batch.latents.clone()
        count, num_motion = start.shape[0], batch.damaged.shape[2]
        share = self._recipe.damaged_motion_share
        is_damaged = torch.rand(count, 1, 1, 1, 1, device=start.device) < share
        start[:, :, :num_motion] = torch.where(is_damaged, batch.damaged, start[:, :, :num_motion])
        return start

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Return the loss on held-out faces and voices, the same noise every time."""
        with fixed_draws(self._device, MEASURE_SEED):
            loss = self._flow_loss(self._held_out.draw(self._recipe.batch))
        return {"held_out_loss": loss.item()}
