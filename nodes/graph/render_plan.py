"""Model, speech, portrait and settings as one spec, and its plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...flashtalk_core.engine.resolve import Inputs, resolve
from ...flashtalk_core.engine.spec import ChunkSpec, RenderSpec, SamplingSpec, Speaker
from ...flashtalk_core.errors import require
from ...flashtalk_core.parallel.bands import AUTO
from ...flashtalk_core.stages.stage import FrameStage, chain
from ..host.model_files import NONE
from ..host.render_host import ComfyHost
from .descriptions import RenderDescription, refuse_hosted
from .sizes import MODEL_JOINS, MODEL_RULE

if TYPE_CHECKING:
    from ...flashtalk_core.config.light_vae import MotionVAE
    from .descriptions import ModelDescription, ReferenceDescription, SpeechDescription


def describe_render(
    model: ModelDescription,
    speech: SpeechDescription,
    reference: ReferenceDescription,
    settings: Mapping[str, Any],
) -> RenderDescription:
    """Return the spec of a video and its plan, checked as far as that needs no weights.

    Args:
        model: What renders.
        speech: The audio.
        reference: Portrait and prompt.
        settings: Values of the sampler's widgets, by input.

    Raises:
        InvalidInputError: If a value is out of range, or what was encoded elsewhere does not
            fit the model.
    """
    _check_encoders(model, reference)
    dialogue = speech.dialogue
    if dialogue is not None:
        refuse_hosted(model, "native model with two speakers: ComfyUI's own blocks hear one here")
    spec = RenderSpec(
        speakers=(Speaker(),) if dialogue is None else dialogue.speakers,
        speaker_routing=None if dialogue is None else dialogue.routing,
        start_s=speech.start_s,
        duration_s=speech.duration_s,
        loudness_lufs=speech.audio.target_lufs,
        prompt=reference.prompt.strip() or None,
        prompt_changes=reference.prompt_changes,
        size_px=reference.size_px,
        fit=reference.fit,
        sampling=_sampling(speech, settings),
        chunk=ChunkSpec(
            num_frames=settings["chunk_frames"], num_motion_frames=settings["motion_frames"]
        ),
        model=model.spec,
        placement=model.placement,
    )
    inputs = Inputs(
        image=reference.image,
        faces=reference.faces,
        audio_inputs=(speech.audio,) if dialogue is None else (speech.audio, dialogue.audio),
        masks=() if dialogue is None else dialogue.masks,
        context=reference.context,
        clip_tokens=reference.clip_tokens,
        model=model.opened,
        soundtrack=speech.soundtrack,
    )
    plan = resolve(spec, ComfyHost(), inputs)
    # Later nodes resolve the same again, and need not measure it.
    inputs = replace(inputs, soundtrack=plan.soundtrack)
    return RenderDescription(spec, inputs, plan, model)


def decoded_with(
    render: RenderDescription,
    device: str | None = None,
    num_latents: int | None = None,
    devices: tuple[int, ...] = (),
    grid: str = AUTO,
    light_vae: str = NONE,
    motion_vae: MotionVAE = "full",
) -> RenderDescription:
    """Return the render with other decoding settings.

    Args:
        render: The render.
        device: Where the autoencoder runs; ``None`` is where the model does.
        num_latents: Latent frames that are decoded at once; ``None`` is as many as suit how the
            autoencoder runs there.
        devices: Numbers of the model's devices that share the autoencoder; empty is all.
        grid: How they share it.
        light_vae: Name of the light autoencoder that decodes.
        motion_vae: What makes motion frames then.

    Raises:
        InvalidInputError: If there is no such device, or it computes wrongly in the model's
            dtype, or a grid has more bands than there are devices.
    """
    placement = replace(
        render.spec.placement,
        vae_device=device,
        decode_latents=num_latents,
        vae_devices=devices,
        vae_grid=grid,
    )
    is_light = light_vae != NONE
    spec = replace(
        render.spec,
        placement=placement,
        model=replace(render.spec.model, light_vae=light_vae),
        motion_vae=motion_vae if is_light else "full",
    )
    return replace(render, spec=spec, plan=resolve(spec, ComfyHost(), render.inputs))


def staged_with(render: RenderDescription, stages: Sequence[FrameStage]) -> RenderDescription:
    """Return the render with stages more behind those that it has.

    Raises:
        InvalidInputError: If frames would become too large, or frames in between are asked for
            behind another stage.
    """
    before = () if render.inputs.stage is None else (render.inputs.stage,)
    inputs = replace(render.inputs, stage=chain([*before, *stages]))
    return replace(render, inputs=inputs, plan=resolve(render.spec, ComfyHost(), inputs))


def _check_encoders(model: ModelDescription, reference: ReferenceDescription) -> None:
    checkpoint, loader = model.checkpoint, "FlashTalk Model Loader"
    or_text, or_clip = (
        f", or choose a text encoder in {loader}",
        f", or choose a CLIP vision in {loader}",
    )
    if model.hosted is not None:  # it has no such encoders
        or_text, or_clip = " to CLIP Text Encode", " to CLIP Vision Encode"
    require(
        checkpoint.text_plan is not None or reference.context is not None,
        f"model without text encoder: FlashTalk Reference has no conditioning; connect it{or_text}",
        subject="text",
    )
    require(
        checkpoint.clip_plan is not None or reference.clip_tokens is not None,
        "model without CLIP vision: FlashTalk Reference has no clip_vision_output; connect "
        f"it{or_clip}",
        subject="clip",
    )


def _sampling(speech: SpeechDescription, settings: Mapping[str, Any]) -> SamplingSpec:
    names = ("seed", "steps", "shift", "colour_strength")
    return SamplingSpec(
        **{name: settings[name] for name in names},
        rule=_unless(MODEL_RULE, settings["rule"]),
        # Workflows that were saved before these were inputs have neither.
        colour_area=_unless(MODEL_RULE, settings.get("colour_area", MODEL_RULE)),
        join_frames=_unless(MODEL_JOINS, settings.get("join_frames", MODEL_JOINS)),
        mouth_strength=speech.mouth_strength,
    )


def _unless(model: Any, value: Any) -> Any:
    """Return a setting; ``None`` for the value that says the model's own."""
    return None if value == model else value
