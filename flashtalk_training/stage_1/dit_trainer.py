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
_LENGTH_DIMS = {0: 2, 2: 2, 6: 1}
"""Inputs of the model by place, and the dimension that is as long as the chunk."""


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


def compiled(model: Stage1Model, *, has_lengths: bool) -> Callable[..., Tensor]:
    """Return ``model`` compiled, once for all.

    Args:
        model: What is compiled; its arguments are those of the result.
        has_lengths: Whether it is given chunks of several lengths, which then share one graph.
    """
    if not has_lengths:
        return torch.compile(model, dynamic=False)
    predict = torch.compile(model)

    def run(*inputs: Tensor) -> Tensor:
        for index, dim in _LENGTH_DIMS.items():
            torch._dynamo.maybe_mark_dynamic(inputs[index], dim)
        return predict(*inputs)

    return run


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
        self.model = Stage1Model(config).to(device)
        self._training = TrainingRun("dit", self.model, recipe.optimiser, folder, seed)
        self._predict: Callable[..., Tensor] = self.model
        if device.type == "cuda":
            lengths = {config.chunk.num_frames, *recipe.chunk_lengths}
            self._predict = compiled(self.model, has_lengths=len(lengths) > 1)

    def run(
        self,
        budget_s: float,
        part_s: float,
        now: Callable[[], float] = time.monotonic,
        on_report: Callable[[], None] | None = None,
    ) -> bool:
        """Train for one part of the budget and return whether the budget is spent.

        ``on_report`` is called after each measure, when all that is compiled has been.
        """

        def report() -> dict[str, float]:
            values = self.measure()
            if on_report is not None:
                on_report()
            return values

        return self._training.run(budget_s, part_s, self._loss, report, now)

    def _loss(self, moment: Moment) -> Tensor:
        if moment.step and moment.step % self._recipe.refresh_every == 0:
            self._bank.refresh(self._recipe.refresh_clips)
        recipe, length = self._recipe, None
        if recipe.chunk_lengths:
            length = recipe.chunk_lengths[int(torch.randint(len(recipe.chunk_lengths), ()))]
        return self._flow_loss(self._bank.draw(recipe.batch, length, recipe.live_share))

    def _flow_loss(self, batch: ClipBatch) -> Tensor:
        """Return the flow-matching loss of one batch, some of its conditions dropped."""
        recipe, clean = self._recipe, batch.latents
        count, device, num_frames = clean.shape[0], clean.device, batch.windows.shape[1]
        level = shift_timesteps(torch.rand(count, device=device), recipe.train_shift)
        noise = torch.randn_like(clean)
        single = torch.rand(count, device=device) < recipe.single_motion_share
        if recipe.coded_movement:
            codes = torch.where(single[:, None], batch.codes[:, 1], batch.codes[:, 0])
            layout = CodeLayout.of_frames(num_frames, self._config.chunk.num_motion_frames)
            noise = with_codes(noise, codes, layout)
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
        mask = image_mask(num_frames, *clean.shape[-2:]).to(device)
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

    def measure(self) -> dict[str, float]:
        """Return the loss on held-out faces and voices, the same noise every time.

        A recipe of live chunks adds that of its shortest ones with nothing to hear after them.
        """
        recipe = self._recipe
        values = {"held_out_loss": self._held_out_loss(None, 0.0)}
        if recipe.live_share:
            shortest = min(recipe.chunk_lengths, default=None)
            values["held_out_live_loss"] = self._held_out_loss(shortest, 1.0)
        return values

    def _held_out_loss(self, num_frames: int | None, live_share: float) -> float:
        # With gradients, though none is wanted: without them the network would be compiled again.
        with fixed_draws(self._device, MEASURE_SEED), torch.enable_grad():
            batch = self._held_out.draw(self._recipe.batch, num_frames, live_share)
            return self._flow_loss(batch).item()
