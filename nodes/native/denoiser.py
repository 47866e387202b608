"""Chunks denoised by a MODEL of ComfyUI, through its own guider.

Axis legend: F pixel frames, T latent frames, h w latent cells, m motion latents, W window,
S hidden layers, A audio features, L audio tokens of a latent frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from comfy.clip_vision import Output as ClipVisionOutput
from comfy.ldm.wan.model_multitalk import MultiTalkCrossAttnPatch
from comfy.samplers import KSAMPLER, CFGGuider
from torch import Tensor
from torch.nn import functional

from ...flashtalk_core.engine.chunk import reporting_steps
from ...flashtalk_core.engine.reference import Reference
from ...flashtalk_core.geometry import num_latent_frames
from ...flashtalk_core.models.transformer.audio_projection import group_windows
from ...flashtalk_core.models.transformer.model import AvatarDiT
from ...flashtalk_core.sampling.schedule import noise_levels
from ...flashtalk_core.sampling.step import denoise

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ...flashtalk_core.config.networks import DiTConfig
    from ...flashtalk_core.config.sampling import SamplingConfig
    from ...flashtalk_core.engine.events import LoadEvents, RenderEvents
    from ...flashtalk_core.engine.reference import EncodedPortrait
    from ...flashtalk_core.sampling.noise import DrawNoise

_NO_GUIDANCE = 1.0
_AUDIO_TOKENS = "audio_embeds"
"""Where the audio layers of ComfyUI look for their tokens."""
_BEFORE_FEED_FORWARD = "attn2_patch"


@dataclass(frozen=True)
class NativeDenoiser:
    """See :class:`ChunkDenoiser` of the core.

    Everything goes through ``CFGGuider``, as ComfyUI's samplers do, so that what other nodes
    have put into the model takes part: LoRAs, attention, wrappers, caches. ComfyUI loads model and
    audio layers, and stops within a step when it is asked to.
    """

    model: ModelPatcher
    """With the audio layers as one of its patches."""
    audio: ModelPatcher
    """The audio layers."""
    config: DiTConfig
    events: LoadEvents
    """Told before the first chunk, which loads the model."""

    def project(self, portrait: EncodedPortrait, context: Tensor) -> Reference:
        """Return what ComfyUI's model takes as conditioning; nothing is computed yet."""
        self.events.loading(AvatarDiT)
        native = self.model.model
        mask, image = portrait.condition[:, :4].float(), portrait.condition[:, 4:].float()
        output = ClipVisionOutput()
        output.penultimate_hidden_states = portrait.clip_tokens
        missing = self.config.text_len - context.shape[0]
        values = {
            # ComfyUI marks what is to be drawn, and has images before they are normalised.
            "concat_mask": 1 - mask,
            "concat_latent_image": native.process_latent_out(image),
            "clip_vision_output": output,
        }
        conditioning = [[functional.pad(context, (0, 0, 0, missing))[None], values]]
        return Reference(conditioning, portrait.motion_latent, portrait.colour)

    def denoise(
        self,
        reference: Reference,
        windows: Tensor,
        motion: Tensor,
        sampling: SamplingConfig,
        draw_noise: DrawNoise,
        events: RenderEvents,
    ) -> Tensor:
        """Denoise a chunk with this package's steps and noise; see :class:`ChunkDenoiser`."""
        self.set_audio(windows, sampling.mouth_strength)
        events.stage("audio projection")
        shape = (1, motion.shape[1], num_latent_frames(windows.shape[1]), *motion.shape[-2:])

        def run(
            native: Callable[..., Tensor], start: Tensor, sigmas: Tensor, extra_args: Any, **_: Any
        ) -> Tensor:
            def predict(latent: Tensor, level: float) -> Tensor:
                data = native(latent, level * latent.new_ones(1), **extra_args)
                return (latent - data) / level

            return denoise(
                reporting_steps(predict, events),
                sigmas.cpu(),
                motion.to(start.device, torch.float32),
                sampling.rule,
                lambda: draw_noise(shape, start.device, torch.float32),
            )

        guider = CFGGuider(self.model)
        guider.set_conds(reference.session, reference.session)
        guider.set_cfg(_NO_GUIDANCE)
        empty = torch.zeros(shape)
        levels = noise_levels(sampling.steps, sampling.shift)
        drawn = guider.sample(
            empty, empty, KSAMPLER(run), levels, disable_pbar=True, seed=sampling.seed
        )
        return self.model.model.process_latent_in(drawn)

    def set_audio(self, windows: Tensor, strength: float) -> None:
        """Put the audio of a chunk to where the audio layers find it.

        Args:
            windows: ``(1, F, W, S, A)``.
            strength: Factor on the audio tokens.
        """
        heard = windows.to(self.model.load_device, torch.float32)
        groups = group_windows(heard, self.config.vae_scale)
        tokens = self.audio.model.audio_proj(*groups) * strength
        self.model.model_options["transformer_options"][_AUDIO_TOKENS] = tokens


def native_denoiser(
    model: ModelPatcher, audio: ModelPatcher, config: DiTConfig, events: LoadEvents
) -> NativeDenoiser:
    """Return the denoiser of a MODEL and its audio layers, which both stay as they are."""
    own = model.clone()
    own.set_model_patch(MultiTalkCrossAttnPatch(audio), _BEFORE_FEED_FORWARD)
    return NativeDenoiser(own, audio, config, events)
