"""Model, speech, portrait and settings as one plan of the core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...flashtalk_core.acceleration.apply import suited_decode_latents
from ...flashtalk_core.config import AvatarConfig, ChunkConfig, SamplingConfig
from ...flashtalk_core.engine.plan import RenderPlan
from ...flashtalk_core.engine.request import AvatarRequest, check_request
from ...flashtalk_core.errors import require
from ...flashtalk_core.models.half_precision import check_half_precision
from ...flashtalk_core.models.vae.model import VideoVAE
from ...flashtalk_core.placement.memory_choice import plan_memory
from ...flashtalk_core.placement.memory_plan import MemoryPlan
from ...flashtalk_core.placement.memory_sizes import model_sizes
from ...flashtalk_core.placement.residency import Placement
from ..host.devices import usable_bytes
from .descriptions import RenderDescription
from .sizes import MODEL_RULE

if TYPE_CHECKING:
    import torch

    from .descriptions import ModelDescription, ReferenceDescription, SpeechDescription


def describe_render(
    model: ModelDescription,
    speech: SpeechDescription,
    reference: ReferenceDescription,
    settings: Mapping[str, Any],
) -> RenderDescription:
    """Return the plan of a video, checked as far as that needs no weights.

    Args:
        model: What draws.
        speech: What is heard.
        reference: What is seen.
        settings: Values of the sampler's widgets, by input.

    Raises:
        InvalidInputError: If a value is out of range, or what was encoded elsewhere does not
            fit the model.
    """
    config = model.checkpoint.config
    _check_encoders(model, reference)
    request = AvatarRequest(
        picture=reference.picture,
        prompt=reference.prompt.strip() or config.prompt,
        prompt_changes=reference.prompt_changes,
        size_px=reference.size_px or config.size_px,
        fit=reference.fit,
        sampling=_sampling(config, speech, settings),
        chunk=_chunk(config, settings),
        context=reference.context,
        clip_tokens=reference.clip_tokens,
    )
    check_request(request, config)
    plan = RenderPlan(
        checkpoint=model.checkpoint,
        request=request,
        sound=speech.sound,
        placement=Placement(model.device, model.dtype, paths=model.paths),
        attention=model.attention,
    )
    return decoded_with(RenderDescription(plan, model))


def decoded_with(
    render: RenderDescription,
    device: torch.device | None = None,
    num_latents: int | None = None,
) -> RenderDescription:
    """Return the plan with another way of decoding.

    Args:
        render: The plan.
        device: Where the autoencoder runs; ``None`` is where the model does.
        num_latents: Latent frames that are decoded at once; ``None`` is as many as suit how the
            autoencoder runs there.

    Raises:
        InvalidInputError: If ``device`` computes wrongly in the model's dtype.
    """
    plan = render.plan
    if device is not None:
        check_half_precision(device, plan.placement.dtype)
    placement = replace(plan.placement, vae_device=device)
    if num_latents is None:
        num_latents = suited_decode_latents(placement.paths_of(VideoVAE))
    request = replace(plan.request, num_decode_latents=num_latents)
    placement = replace(placement, memory=_memory(render.model, request))
    return replace(render, plan=replace(plan, request=request, placement=placement))


def _memory(model: ModelDescription, request: AvatarRequest) -> MemoryPlan:
    """Choose what stays on the device at this size."""
    config = model.checkpoint.config
    return plan_memory(
        model.memory,
        lambda: model_sizes(
            config,
            request.size_px,
            request.chunk_of(config),
            model.dtype,
            request.num_decode_latents,
        ),
        model.device,
        usable_bytes(model.device),
    )


def _check_encoders(model: ModelDescription, reference: ReferenceDescription) -> None:
    checkpoint = model.checkpoint
    require(
        checkpoint.text_plan is not None or reference.context is not None,
        "model without text encoder: FlashTalk Reference has no conditioning; connect it, or "
        "choose a text encoder in FlashTalk Model Loader",
    )
    require(
        checkpoint.clip_plan is not None or reference.clip_tokens is not None,
        "model without CLIP vision: FlashTalk Reference has no clip_vision_output; connect it, "
        "or choose a CLIP vision in FlashTalk Model Loader",
    )


def _sampling(
    config: AvatarConfig, speech: SpeechDescription, settings: Mapping[str, Any]
) -> SamplingConfig:
    names = ("seed", "steps", "shift", "colour_strength")
    rule = settings["rule"]
    return replace(
        config.sampling,
        **{name: settings[name] for name in names},
        rule=config.sampling.rule if rule == MODEL_RULE else rule,
        mouth_strength=speech.mouth_strength,
    )


def _chunk(config: AvatarConfig, settings: Mapping[str, Any]) -> ChunkConfig:
    return replace(
        config.chunk,
        num_frames=settings["chunk_frames"],
        num_motion_frames=settings["motion_frames"],
    )
