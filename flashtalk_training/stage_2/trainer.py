"""Stage 2: self-correcting distillation of the transformer into few steps without guidance.

The student rolls out up to K_max chunks on its own and is judged on the last one: frozen teacher
and trained critic give the direction in which its output is likelier under the data and less like
its own. All three start from Stage 1; the towers are frozen.

Axis legend: B sessions, T latent frames, m motion latents, h w latent cells.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.geometry import num_latent_frames
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.sampling.schedule import noise_levels, shift_timesteps

from ..chunk_lengths import check_lengths
from ..drawn_faces.damage import drift_at_random
from ..losses import flow_matching_loss, guided, matching_loss, noisy_latent
from ..recipe import DistillRecipe
from ..runs.capture import Captured
from ..runs.curves import Curve
from ..runs.ranks import agreed, average_gradients, rank
from ..runs.seeds import part_seed
from ..stage_1.movement_codes import CodeLayout, read_codes, with_codes
from .auxiliary_losses import auxiliary_loss
from .causal import attend_causally
from .phases import Phase
from .replay_buffer import SessionReplayBuffer
from .rollout import Roller, Rollout, roll_out
from .rollout_plan import RolloutPlan, draw_plan
from .scenes import Conditions, SceneBank, SceneBatch
from .states import DistillState
from .velocities import judge, velocity_of

_RANK_SEED = 2**27
"""Between the seeds of neighbouring ranks."""


class DistillTrainer:
    """Trains student and critic; every step draws from a seed of its own, so it can be redone."""

    def __init__(
        self,
        config: AvatarConfig,
        recipe: DistillRecipe,
        teacher: AvatarDiT,
        vae: VideoVAE,
        bank: SceneBank,
        folder: Path,
        seed: int,
        spread: Callable[[AvatarDiT], AvatarDiT] | None = None,
    ) -> None:
        """Prepare, and resume if ``folder`` holds a state.

        Args:
            config: The model.
            recipe: How to train.
            teacher: Trained by Stage 1; student and critic start as copies.
            vae: Trained autoencoder.
            bank: Sessions.
            folder: Where states and the curve are kept.
            seed: Of the stage.
            spread: Spreads the weights of a transformer over ranks, in place
                (:func:`~.sharding.shard`); ``None`` keeps all of them on each.
        """
        check_lengths(config.chunk, recipe.chunk_lengths)
        self._config, self._recipe, self._bank, self._seed = config, recipe, bank, seed
        self.teacher = teacher.requires_grad_(False)
        self.student = copy.deepcopy(teacher).requires_grad_(True)
        self.critic = copy.deepcopy(teacher).requires_grad_(True)
        self._device = teacher.patch_embedding.weight.device
        if recipe.causal:
            attend_causally(self.student, num_latent_frames(config.chunk.num_frames))
        if spread is not None:
            for network in (self.teacher, self.student, self.critic):
                spread(network)
        self._student_optimizer = self._optimizer(self.student, recipe.student_rate)
        self._critic_optimizer = self._optimizer(self.critic, recipe.critic_rate)
        self._replay = SessionReplayBuffer.of(config, recipe, self._device)
        self._state = DistillState(
            folder, recipe, self.student, self.critic, self._student_optimizer,
            self._critic_optimizer, self._replay.tensors(),
        )  # fmt: skip
        self._curve = Curve(folder / "distill.csv")
        if rank() == 0:
            self._curve.cut("step", self._state.step)
        self._raw_levels = noise_levels(recipe.steps, 1.0).tolist()
        self._vae = vae
        self._roller = self._make_roller()
        record = Captured if spread is None else torch.no_grad()  # gathered weights move
        self._advance = record(self._advance_chunk)
        self._teach = record(partial(judge, self.teacher))
        self._criticise = record(partial(judge, self.critic))

    @property
    def step(self) -> int:
        """Steps trained."""
        return self._state.step

    def _optimizer(self, module: nn.Module, rate: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            module.parameters(),
            lr=rate,
            betas=(0.0, 0.999),
            weight_decay=0.01,
            fused=self._device.type == "cuda",
        )

    def _make_roller(self) -> Roller:
        config, recipe = self._config, self._recipe
        vae = self._vae
        if self._device.type == "cuda":
            vae = copy.deepcopy(vae).half()
        sampling = dataclasses.replace(
            config.sampling, steps=recipe.steps, shift=recipe.shift, rule=recipe.rule
        )
        return Roller.around(vae, config, sampling)

    def run(
        self,
        part_s: float,
        now: Callable[[], float] = time.monotonic,
        show: Callable[[AvatarDiT, int], None] | None = None,
    ) -> bool:
        """Train until the recipe's last step, or for ``part_s`` and on to the next save.

        A state is saved at fixed steps only: where a run was interrupted changes nothing in it.
        Of several ranks the first one writes, and its clock counts.

        Args:
            part_s: See above.
            now: Clock, in seconds.
            show: Called with the student and the step after every save.

        Returns:
            Whether the last step is done.
        """
        recipe, end, is_first = self._recipe, now() + part_s, rank() == 0
        while self.step < recipe.num_steps:
            values = self._train_step()
            if is_first and self.step % recipe.report_every == 0:
                self._curve.add(step=self.step, **values)
            if self.step % recipe.save_every == 0 or self.step == recipe.num_steps:
                self._state.save()
                if is_first and show is not None:
                    show(self.student, self.step)
                if agreed(now() >= end):
                    break
        return self.step >= recipe.num_steps

    def _train_step(self) -> dict[str, float]:
        recipe = self._recipe
        seed = part_seed(self._seed, self.step)
        # Ranks draw sessions and noise of their own, but share the plan.
        torch.manual_seed(seed + _RANK_SEED * rank())
        generator = torch.Generator().manual_seed(seed)
        plan = draw_plan(
            recipe.max_chunks, recipe.steps, generator, recipe.chunk_lengths, recipe.live_share
        )
        batch = None
        if recipe.lasting_sessions:
            batch = self._replay.sample(recipe.batch, recipe.fresh_share, generator)
        conditioning, start = (None, None) if batch is None else (batch.conditioning, batch.motion)
        scene = self._bank.draw(
            recipe.batch, plan.num_chunks, recipe.max_chunks, conditioning,
            plan.chunk_of(self._config.chunk),
        )  # fmt: skip
        is_student_step = (self.step + 1) % recipe.student_every == 0
        with torch.set_grad_enabled(is_student_step):
            rollout = self.roll(scene, plan, start)
        if batch is not None:
            self._replay.store(batch, scene.conditioning, rollout.motion)
        values: dict[str, float] = {}
        if is_student_step:
            loss = self.student_loss(rollout, scene, plan)
            self._update(self.student, self._student_optimizer, recipe.student_rate, loss)
            self._state.update_average()
            values["student_loss"] = loss.item()
        loss = self.critic_loss(rollout, scene, plan)
        self._update(self.critic, self._critic_optimizer, recipe.critic_rate, loss)
        self._state.step += 1
        return {**values, "critic_loss": loss.item()}

    def roll(self, scene: SceneBatch, plan: RolloutPlan, start: Tensor | None = None) -> Rollout:
        """Roll the student out, from motion latents ``(B, 16, m, h, w)`` or from the portraits."""
        given, share = scene.conditions, self._recipe.damaged_motion_share

        def advance(windows: Tensor, motion: Tensor) -> Tensor:
            return self._advance(given.condition, given.clip, given.text, windows, motion)

        disturb = partial(drift_at_random, share=share) if share else None
        return roll_out(
            self._roller_of(given.condition), velocity_of(self.student, given), scene.portraits,
            scene.windows, plan, self._draw_noise, advance, disturb, start,
        )  # fmt: skip

    def _advance_chunk(
        self, condition: Tensor, clip: Tensor, text: Tensor, windows: Tensor, motion: Tensor
    ) -> Tensor:
        """Denoise a chunk and decode its last frames."""
        velocity = velocity_of(self.student, Conditions(condition, clip, text, text))
        roller = self._roller_of(condition)
        return roller.end(roller.chunk(velocity, windows, motion, self._draw_noise))

    def _roller_of(self, condition: Tensor) -> Roller:
        """Return the roller of chunks as long as ``condition``, ``(B, 20, T, h, w)``."""
        return dataclasses.replace(self._roller, num_latents=condition.shape[2])

    def student_loss(self, rollout: Rollout, scene: SceneBatch, plan: RolloutPlan) -> Tensor:
        """Return the loss whose gradient reaches the student through ``rollout.data`` alone."""
        recipe, num_motion = self._recipe, rollout.motion.shape[2]
        chunk = plan.num_chunks - 1
        with torch.no_grad():
            noisy, noise, level = self._noised(rollout, plan)
            given, windows = scene.conditions, scene.windows[chunk]
            shown = noisy
            if recipe.noised_teacher_motion:
                motion = noisy_latent(rollout.motion, noise[:, :, :num_motion], level)
                shown = torch.cat([motion, noisy[:, :, num_motion:]], dim=2)
            real = self._teacher_data(shown, level, given, windows)
            fake = self._criticise(given.condition, given.clip, given.text, windows, noisy, level)
        loss = matching_loss(rollout.data, real, fake, num_motion, recipe.align_motion)
        return loss + auxiliary_loss(
            recipe, self._bank, self._vae, self._roller, rollout, scene, chunk
        )

    def _teacher_data(
        self, noisy: Tensor, level: Tensor, given: Conditions, windows: Tensor
    ) -> Tensor:
        """Return the data that the teacher predicts, guided as the recipe says."""
        recipe = self._recipe
        full = self._teach(given.condition, given.clip, given.text, windows, noisy, level)
        if recipe.text_scale == recipe.audio_scale == 1:
            return full
        silent = torch.zeros_like(windows)
        nothing, no_text = (
            self._teach(given.condition, given.clip, given.no_text, audio, noisy, level)
            for audio in (silent, windows)
        )
        return guided(nothing, no_text, full, recipe.text_scale, recipe.audio_scale)

    def critic_loss(self, rollout: Rollout, scene: SceneBatch, plan: RolloutPlan) -> Tensor:
        """Return the critic's flow-matching loss on the student's output."""
        noisy, noise, level = self._noised(rollout, plan)
        windows = scene.windows[plan.num_chunks - 1]
        velocity = velocity_of(self.critic, scene.conditions)(noisy, level, windows)
        weights = torch.ones_like(noisy[:1, :1])
        weights[:, :, : rollout.motion.shape[2]] = 0
        clean = rollout.data.detach()
        if self._recipe.phased:
            phase = self._phase(plan, level)
            clean, noise, share = phase.target(rollout.reached, noise)
            weights = weights * share
        return flow_matching_loss(velocity, clean, noise, weights)

    def _phase(self, plan: RolloutPlan, level: Tensor) -> Phase:
        return Phase(self._roller.levels[plan.step + 1], level)

    def _noised(self, rollout: Rollout, plan: RolloutPlan) -> tuple[Tensor, Tensor, Tensor]:
        """Noise the student's data to a level of its step; the motion latents stay clean.

        In phases, what the step has reached is noised further instead.

        Returns:
            Noisy latents, the noise, and the levels ``(B,)``.
        """
        data, motion = rollout.data.detach(), rollout.motion
        high, low = self._raw_levels[plan.step], self._raw_levels[plan.step + 1]
        raw = low + (high - low) * torch.rand(data.shape[0], device=data.device)
        level = shift_timesteps(raw, self._recipe.shift).clamp(0.02, 0.98)
        noise = self._draw_noise(tuple(data.shape))
        if not self._recipe.phased:
            noise = self._with_codes(noise, rollout)
            noisy = noisy_latent(data, noise, level)
        else:
            phase = self._phase(plan, level.clamp(min=self._roller.levels[plan.step + 1]))
            level = phase.level
            noise = self._with_codes(noise, rollout, phase.codes_share())
            noisy = phase.noised(rollout.reached, noise)
        return torch.cat([motion, noisy[:, :, motion.shape[2] :]], dim=2), noise, level

    def _with_codes(self, noise: Tensor, rollout: Rollout, share: Tensor | float = 1.0) -> Tensor:
        """Give noise the codes that the student moved by, times ``share``, ``(B, 1)``.

        Other codes would ask teacher and critic for another movement than that of the data.
        """
        if not self._recipe.coded_movement:
            return noise
        num_motion = num_latent_frames(self._config.chunk.num_motion_frames)
        layout = CodeLayout(noise.shape[2], num_motion)
        return with_codes(noise, share * read_codes(rollout.noise, layout), layout)

    def _update(
        self, module: nn.Module, optimizer: torch.optim.Optimizer, rate: float, loss: Tensor
    ) -> None:
        recipe = self._recipe
        gone = self.step / max(1, recipe.num_steps - 1)
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - gone * (1 - recipe.final_rate_share))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(module.parameters())
        nn.utils.clip_grad_norm_(module.parameters(), self._recipe.max_gradient_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _draw_noise(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, device=self._device)
