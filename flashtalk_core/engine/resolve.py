"""From a spec to a checked plan, the quickest checks first; no weights are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, get_args

import torch
from PIL.Image import Image
from torch import Tensor

from ..acceleration.attention_kernels import choose_attention
from ..acceleration.kernel_options import KernelOptions, check_graph_mode, speed_of
from ..acceleration.support import choose_kernel_options, default_decode_latents, graphs_work
from ..config.avatar import FramingConfig
from ..config.light_vae import MotionVAE
from ..config.networks import VAEConfig
from ..config.sampling import SamplingConfig
from ..errors import InvalidInputError, about, require
from ..excerpt import excerpt, shown_path
from ..files.paths import user_path
from ..geometry import check_size
from ..media.audio.info import AudioInfo
from ..media.audio.probe import check_part, check_target, measure_soundtrack
from ..media.audio.source import AudioArray
from ..media.image.faces.detection import FaceBox, FaceUse, find_faces
from ..media.image.faces.framing import NO_FACE, FacePick, pick_face
from ..media.image.portrait import check_fit, open_image
from ..media.masks import Box
from ..media.places import FACE
from ..media.video.video_track import check_frame_size
from ..models.attention import Attention
from ..models.half_precision import check_half_precision
from ..models.vae.model import VideoVAE
from ..parallel.bands import check_grid
from ..parallel.exchange import check_exchange, check_heads, check_kernels, check_lengths
from ..parallel.shares import split_evenly
from ..placement.activation_sizes import chunk_tokens
from ..placement.block_sizes import stay_packed_on_cpu
from ..placement.devices import (
    check_cluster,
    check_devices,
    choose_device,
    choose_dtype,
    common_dtype,
    other_generations,
)
from ..placement.memory_choice import check_choice, check_num_resident, plan_memory
from ..placement.memory_sizes import ModelSizes, model_sizes
from ..placement.place import Placement
from ..stages.stage import FrameStage
from ..stages.upscale_file import open_upscaler
from ..stages.upscaling import UpscaleStage, check_scale
from ..weights.discovery.files import ModelFiles
from ..weights.discovery.layout import find_model_files, resolve_model
from ..weights.formats.tensor_file import check_header
from ..weights.light_vae import open_light_vae
from ..weights.load import AvatarCheckpoint, LightVAEFile, open_checkpoint
from ..weights.lora.merge import LoraFile
from .plan import RenderPlan
from .request import AvatarRequest, check_changes, check_decode_latents, check_prompt, check_request
from .speakers.planned import PlannedSpeaker
from .speakers.planning import check_cells, check_speakers, plan_speakers
from .spec import FramesSpec, ModelSpec, PlacementSpec, RenderSpec, subject_of

_FACE_MASKS = FaceUse(f"speaker mask {FACE!r}", "use 'left', 'right', boxes or images instead")


class Host(Protocol):
    """What differs between the command line and ComfyUI: names, and free memory."""

    def find_device(self, name: str) -> torch.device:
        """Return the device called ``name``, or raise :class:`FlashTalkError`."""
        ...

    def find_dtype(self, name: str, device: torch.device) -> torch.dtype:
        """Return the dtype called ``name`` for ``device``, or raise."""
        ...

    def find_files(self, model: ModelSpec) -> ModelFiles:
        """Return the files of a model, or raise; only names and headers are read."""
        ...

    def find_lora(self, name: str) -> Path:
        """Return the path of a LoRA; whether a file is there is checked afterwards."""
        ...

    def find_light_vae(self, name: str) -> Path:
        """Return the path of a light autoencoder; it is opened afterwards."""
        ...

    def find_face_detector(self, name: str | None) -> Path | None:
        """Return the file of the network that finds faces; ``None`` is OpenCV's own detector."""
        ...

    def free_bytes(self, device: torch.device) -> int | None:
        """Return the device memory that may be used; ``None`` queries the device."""
        ...


class LocalHost:
    """This machine by PyTorch's names, and models in folders."""

    def find_device(self, name: str) -> torch.device:
        """See :func:`choose_device`."""
        return choose_device(name)

    def find_dtype(self, name: str, device: torch.device) -> torch.dtype:
        """See :func:`choose_dtype`."""
        return choose_dtype(name, device)

    def find_files(self, model: ModelSpec) -> ModelFiles:
        """Return the files in a folder, or of the bundled model."""
        for part in ("vae", "text_encoder", "clip_vision", "audio_encoder"):
            chosen = getattr(model, part)
            require(
                chosen == "auto",
                f"{part} {excerpt(chosen)!r}: a part is chosen by itself in ComfyUI only; put it "
                "into the model's folder, and use 'auto'",
                subject=subject_of(part),
            )
        folder = resolve_model(model.name)
        if model.audio_layers == "none":
            return find_model_files(folder, look_for_audio_layers=False)
        chosen = None
        if model.audio_layers != "auto":
            with about("audio_layers"):
                chosen = user_path(model.audio_layers, "audio layers")
        return find_model_files(folder, chosen)

    def find_lora(self, name: str) -> Path:
        """Return the path as a user wrote it, with ``~`` replaced."""
        return user_path(name, "lora")

    def find_light_vae(self, name: str) -> Path:
        """Return the path as a user wrote it, with ``~`` replaced."""
        return user_path(name, "light autoencoder")

    def find_face_detector(self, name: str | None) -> Path | None:
        """Return the path as a user wrote it, with ``~`` replaced."""
        return None if name is None else user_path(name, "face detector")

    def free_bytes(self, device: torch.device) -> int | None:  # noqa: ARG002
        """Return ``None``: the device is queried."""
        return None


@dataclass(frozen=True)
class Backend:
    """Where networks run, and in which execution mode."""

    device: torch.device
    attention: Attention
    kernel_options: KernelOptions
    others: tuple[torch.device, ...] = ()
    """Devices of other generations that render together with it."""


@dataclass(frozen=True)
class OpenedModel:
    """A model whose files were checked, and where it runs."""

    checkpoint: AvatarCheckpoint
    device: torch.device
    dtype: torch.dtype
    kernel_options: KernelOptions
    is_hosted: bool = False
    """Whether the host runs the transformer, and decides how much of it is on its device."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Values in memory that accompany a spec; each replaces a part of it."""

    image: Image | None = None
    """The portrait, RGB."""
    audio_inputs: tuple[AudioArray | AudioInfo, ...] = ()
    """Speech, one for each speaker; :class:`AudioInfo` was measured already, and must be what the
    spec asks for: the same start, duration and loudness."""
    masks: tuple[Image, ...] = ()
    """Where two speakers are, as large as the portrait, ``L``, white there; each replaces that of
    the spec."""
    context: Tensor | None = None
    """The prompt, encoded; see :class:`AvatarRequest`."""
    clip_tokens: Tensor | None = None
    """The portrait, encoded; see :class:`AvatarRequest`."""
    faces: tuple[FaceBox, ...] | None = None
    """Those of the portrait, if they were looked for already."""
    model: OpenedModel | None = None
    soundtrack: AudioArray | AudioInfo | None = None
    """What is heard instead of the speech; see :func:`measure_soundtrack`. With two speakers one
    that was measured for the first alone is measured again, for both."""
    stage: FrameStage | None = None
    """What happens to frames before they are encoded."""

    def __repr__(self) -> str:
        given = [name for name, value in vars(self).items() if value not in (None, ())]
        return f"Inputs({', '.join(given)})"


def resolve(spec: RenderSpec, host: Host, inputs: Inputs | None = None) -> RenderPlan:
    """Check a spec, and return it as a plan.

    Args:
        spec: As the user specified it.
        host: Resolves the names in it.
        inputs: Values in memory; ``None`` is none.

    Raises:
        FlashTalkError: If anything cannot be used. Values alone are looked at first, then the
            device and the names of files, the arithmetic of a chunk with the model's settings,
            then image and audio, then the headers of weights and the memory plan.
    """
    inputs = inputs or Inputs()
    check_values(spec, inputs)
    opening = None if inputs.model else _find_model(spec, host)
    image = inputs.image or _open_portrait(spec)
    speakers, sound = plan_speakers(
        spec, inputs.audio_inputs, inputs.masks, image, lambda: _face_boxes(spec, host, image)
    )
    soundtrack = _find_soundtrack(spec, inputs.soundtrack, sound or speakers[0].audio)
    model = inputs.model
    if opening is not None:
        files, loras, backend = opening
        model = open_model(files, loras, backend, spec.placement, host)
    assert model is not None
    plan = _assemble(spec, host, inputs, model, image, (speakers, sound))
    return replace(plan, soundtrack=soundtrack)


def check_values(spec: RenderSpec, inputs: Inputs) -> None:
    """Check everything that depends on the values alone.

    Raises:
        InvalidInputError: If one is out of range, or they contradict each other.
    """
    if spec.size_px is not None:
        check_size(spec.size_px)
    spec.sampling.over(SamplingConfig())
    spec.chunk.check()
    if inputs.model is not None:
        spec.chunk.over(inputs.model.checkpoint.config.chunk)
    check_changes(spec.prompt_changes, inputs.context)
    with about("prompt"):
        check_prompt("prompt", spec.prompt or "")
    if spec.placement.decode_latents is not None:
        check_decode_latents(spec.placement.decode_latents)
    with about("disabled"):
        KernelOptions.eager().without(spec.placement.disabled)
    check_grid(spec.placement.vae_grid)
    check_exchange(
        spec.placement.exchange, spec.placement.ring, max(1, len(spec.placement.devices))
    )
    check_fit(spec.fit)
    require(
        spec.face_detector is None
        or spec.fit == "face"
        or any(speaker.mask == FACE for speaker in spec.speakers),
        f"face detector {excerpt(spec.face_detector or '')!r}: it is for fit 'face' or speaker "
        f"masks 'face', and fit is {spec.fit!r}; leave it out, or use one of them",
        subject="fit",
    )
    check_part(spec.start_s, spec.duration_s)
    check_target(spec.loudness_lufs)
    speed_of(spec.placement.speed)
    _check_graph(spec.placement)
    check_speakers(spec.speakers, len(inputs.masks), spec.speaker_routing, spec.fit)
    _check_frames(spec.frames)
    _check_motion(spec)


def _check_graph(placement: PlacementSpec) -> None:
    check_graph_mode(placement.graph)
    require(
        placement.graph != "on" or placement.memory.mode != "offload",
        "graph 'on': weights that are offloaded change places, which a CUDA graph cannot follow; "
        "use graph 'auto', or memory 'resident'",
        subject="graph",
    )


def _check_frames(frames: FramesSpec) -> None:
    require(
        frames.upscale is not None or frames.upscale_by is None,
        f"upscaling by {frames.upscale_by}: no upscaling model is given; name one, or leave it out",
        subject="upscale_by",
    )
    check_scale(frames.upscale_by)


def _check_motion(spec: RenderSpec) -> None:
    require(
        spec.motion_vae in get_args(MotionVAE),
        f"motion frames {excerpt(spec.motion_vae)!r}: use {', '.join(get_args(MotionVAE))}",
        subject="motion_vae",
    )
    require(
        spec.motion_vae == "full" or spec.model.light_vae != "none",
        f"motion frames {spec.motion_vae!r}: no light autoencoder is given; name one, or leave it "
        "out",
        subject="motion_vae",
    )
    require(
        not (spec.sampling.join_frames and _hides_motion_frames(spec)),
        f"join frames {spec.sampling.join_frames}: by motion frames 'full' a light autoencoder "
        "does not show what the next chunk goes on from, so the jump is unknown; use motion "
        "frames 'shown' or 'light', or join frames 0",
        subject="motion_vae",
    )


def _hides_motion_frames(spec: RenderSpec) -> bool:
    """Return whether motion frames are others than those that are shown."""
    return spec.model.light_vae != "none" and spec.motion_vae == "full"


def _sampling(spec: RenderSpec, defaults: SamplingConfig) -> SamplingConfig:
    """Return the settings; a model's own fading of joins goes where it is not possible."""
    sampling = spec.sampling.over(defaults)
    return replace(sampling, join_frames=0) if _hides_motion_frames(spec) else sampling


def find_backend(placement: PlacementSpec, host: Host) -> Backend:
    """Choose device, attention kernel and execution mode.

    Raises:
        InvalidInputError: If this machine, or one of several devices, lacks one that was named.
    """
    is_elsewhere = bool(placement.cluster)
    if is_elsewhere:
        check_cluster(placement.cluster)
    check_devices(placement.devices, placement.device, are_elsewhere=is_elsewhere)
    device = host.find_device(*placement.devices[:1] or (placement.device,))
    check_choice(placement.memory, device)
    require(
        placement.graph != "on" or device.type == "cuda",
        f"graph 'on' on {device}: CUDA graphs are for GPUs that CUDA runs on; use graph 'auto'",
        subject="graph",
    )
    require(
        placement.graph != "on" or graphs_work(),
        "graph 'on': CUDA graphs need an NVIDIA GPU and PyTorch's own allocator of its memory "
        "(not backend:cudaMallocAsync, which ComfyUI takes unless it is started with "
        "--disable-cuda-malloc); use graph 'auto'",
        subject="graph",
    )
    others = () if is_elsewhere else other_generations(placement.devices)
    first, *_ = kernels = [
        choose_attention(placement.attention, each) for each in (device, *others)
    ]
    for kernel in kernels:
        check_kernels(placement.exchange, placement.ring, device, kernel)
    options = choose_kernel_options(placement.speed, device, others).without(placement.disabled)
    return Backend(device, first, options, others)


def find_loras(model: ModelSpec, host: Host) -> tuple[LoraFile, ...]:
    """Return the LoRAs of a model; their files exist."""
    with about("lora"):
        return tuple(LoraFile(host.find_lora(lora.path), lora.strength) for lora in model.loras)


def open_model(
    files: ModelFiles,
    loras: Sequence[LoraFile],
    backend: Backend,
    placement: PlacementSpec,
    host: Host,
) -> OpenedModel:
    """Check the headers of a model's files, and what of ``placement`` depends on them.

    Raises:
        FlashTalkError: If a file cannot be used; see :func:`open_checkpoint`. If the device has
            no such dtype, or the model fewer blocks than are requested to be resident.
    """
    with about("model"):
        checkpoint = open_checkpoint(files, backend.attention, loras)
    check_num_resident(placement.memory, checkpoint.config.dit.num_layers)
    with about("dtype"):
        each = (backend.device, *backend.others)
        found = common_dtype(host.find_dtype(placement.dtype, device) for device in each)
    return OpenedModel(checkpoint, backend.device, found, backend.kernel_options)


def _find_model(spec: RenderSpec, host: Host) -> tuple[ModelFiles, tuple[LoraFile, ...], Backend]:
    loras = find_loras(spec.model, host)
    backend = find_backend(spec.placement, host)
    with about("model"):
        files = host.find_files(spec.model)
    spec.chunk.over(files.chunk)  # which checks it
    return files, loras, backend


def _face_boxes(spec: RenderSpec, host: Host, image: Image) -> list[Box]:
    with about("speakers", instead_of="fit"):
        faces = find_faces(image, host.find_face_detector(spec.face_detector), _FACE_MASKS)
    return [(each.left, each.top, each.width, each.height) for each in faces]


def _open_portrait(spec: RenderSpec) -> Image:
    with about("portrait"):
        if spec.portrait is None:
            raise InvalidInputError("portrait: none is given; name an image file")
        return open_image(spec.portrait)


def _find_soundtrack(
    spec: RenderSpec, given: AudioArray | AudioInfo | None, speech: AudioInfo
) -> AudioInfo | None:
    source = given if given is not None else spec.soundtrack
    return None if source is None else measure_soundtrack(source, spec.start_s, speech)


def _assemble(
    spec: RenderSpec,
    host: Host,
    inputs: Inputs,
    model: OpenedModel,
    image: Image,
    heard: tuple[tuple[PlannedSpeaker, ...], AudioInfo | None],
) -> RenderPlan:
    config, wanted = model.checkpoint.config, spec.placement
    with about("model", instead_of="size"):  # one of the user's own was checked before
        check_size(spec.size_px or config.size_px)
    place = _place(wanted, model, host)
    light = _find_light_vae(spec, host, config.vae)
    is_small = _is_decoder_small(config.vae, light, spec.motion_vae)
    latents, older_latents = _decode_latents(wanted, place, is_small=is_small)
    size_px = spec.size_px or config.size_px
    pick = _pick_face(spec, host, inputs, image, size_px, config.framing)
    request = AvatarRequest(
        image=image if pick is None else pick.crop(),
        face=pick,
        prompt=config.prompt if spec.prompt is None else spec.prompt,
        prompt_changes=spec.prompt_changes,
        size_px=size_px,
        sampling=_sampling(spec, config.sampling),
        fit=spec.fit if pick is None else "cover",
        context=inputs.context,
        clip_tokens=inputs.clip_tokens,
        chunk=spec.chunk.over(config.chunk),
        num_decode_latents=latents,
    )
    check_request(request, config)
    stage = inputs.stage or _open_stage(spec.frames, place)
    _check_format(stage, request)
    _check_bands(place, request.size_px)
    if place.exchange == "xfuser":
        frames, positions = chunk_tokens(config, request.size_px, request.chunk_of(config))
        check_heads(config.dit.num_heads, place.num_devices // place.ring)
        check_lengths([frames * part for part in split_evenly(positions, place.num_devices)])
    plan = RenderPlan(
        checkpoint=model.checkpoint if light is None else model.checkpoint.with_light_vae(light),
        request=request,
        speakers=heard[0],
        placement=_with_memory(place, wanted, request, model, host, (stage, light), len(heard[0])),
        attention=wanted.attention,
        stage=stage,
        sound=heard[1],
        routing=spec.speaker_routing or config.speaker_routing,
        motion_vae=spec.motion_vae,
        older_decode_latents=older_latents,
    )
    check_cells(plan.speaker_masks(), config)
    return plan


def _is_decoder_small(vae: VAEConfig, light: LightVAEFile | None, motion_vae: MotionVAE) -> bool:
    """Return whether nothing but small decoders decodes."""
    has_small = bool(vae.light_widths)
    if light is None:
        return has_small
    return light.config.is_tae and (has_small or motion_vae != "full")


def _decode_latents(
    wanted: PlacementSpec, place: Placement, *, is_small: bool
) -> tuple[int, int | None]:
    """Return how many latent frames are decoded at once, and the default of before if not that."""
    if wanted.decode_latents is not None:
        return wanted.decode_latents, None
    options = place.kernel_options_of(VideoVAE)
    is_on_cpu = place.device_of(VideoVAE).type == "cpu"
    found = default_decode_latents(options, is_light_on_cpu=is_on_cpu and is_small)
    before = default_decode_latents(options)
    return found, None if found == before else before


def _find_light_vae(spec: RenderSpec, host: Host, model: VAEConfig) -> LightVAEFile | None:
    """Open what decodes in the place of a model's own autoencoder, if anything does."""
    if spec.model.light_vae == "none":
        return None
    with about("light_vae"):
        found = open_light_vae(host.find_light_vae(spec.model.light_vae), model)
    require(
        spec.motion_vae != "light" or found.config.has_encoder,
        f"motion frames 'light': {found.path.name} holds a decoder alone; use 'full' or 'shown'",
        subject="motion_vae",
    )
    return found


def _pick_face(
    spec: RenderSpec,
    host: Host,
    inputs: Inputs,
    image: Image,
    size_px: tuple[int, int],
    framing: FramingConfig,
) -> FacePick | None:
    """Return the frame around the face, if one is wanted."""
    if spec.fit != "face":
        return None
    faces = inputs.faces
    if faces is None:
        faces = find_faces(image, host.find_face_detector(spec.face_detector))
    if inputs.image is None and not faces:
        raise InvalidInputError(
            f"image {shown_path(spec.portrait or '')}: {NO_FACE}", subject="fit"
        )
    return pick_face(image, faces, size_px, framing)


def _open_stage(spec: FramesSpec, place: Placement) -> FrameStage | None:
    if spec.upscale is None:
        return None
    # A cluster renders elsewhere, and its frames come here.
    device = choose_device("auto") if place.cluster else place.device
    return UpscaleStage(open_upscaler(spec.upscale, device, check_header), spec.upscale_by)


def _check_format(stage: FrameStage | None, request: AvatarRequest) -> None:
    if stage is not None:
        check_frame_size(stage.size_px(request.size_px))


def _place(wanted: PlacementSpec, model: OpenedModel, host: Host) -> Placement:
    devices = wanted.devices if len(wanted.devices) > 1 else ()
    who = "an engine of a cluster decodes" if wanted.cluster else "several devices decode together"
    require(
        not (devices or wanted.cluster) or wanted.vae_device is None,
        f"device {excerpt(wanted.vae_device)!r} for decoding: {who}; leave it out",
        subject="vae_device",
    )
    vae_device = None
    if wanted.vae_device is not None:
        with about("vae_device", instead_of="device"):
            vae_device = host.find_device(wanted.vae_device)
            check_half_precision(vae_device, model.dtype)
    return Placement(
        model.device,
        model.dtype,
        vae_device,
        kernel_options=model.kernel_options,
        devices=devices,
        cluster=wanted.cluster,
        vae_devices=tuple(sorted(set(wanted.vae_devices))),
        vae_grid=wanted.vae_grid,
        exchange=wanted.exchange,
        ring=wanted.ring,
    )


def _check_bands(place: Placement, size_px: tuple[int, int]) -> None:
    """Check that there are devices for the bands of an image."""
    count, numbers = place.num_devices, place.vae_devices
    require(
        all(0 <= number < count for number in numbers),
        f"VAE devices {excerpt(', '.join(map(str, numbers)))}: the render runs on {count} "
        "device(s), counted from 0; name some of them, or none for all",
        subject="vae_devices",
    )
    place.grid(size_px)


def _with_memory(
    place: Placement,
    wanted: PlacementSpec,
    request: AvatarRequest,
    model: OpenedModel,
    host: Host,
    besides: tuple[FrameStage | None, LightVAEFile | None],
    num_speakers: int,
) -> Placement:
    """Choose what is resident on the device at the size and number of latents of ``request``."""
    if model.is_hosted:
        return place
    config, packings = model.checkpoint.config, model.checkpoint.packings()
    stage, light = besides

    def sizes() -> ModelSizes:
        found = model_sizes(
            config,
            request.size_px,
            request.chunk_of(config),
            model.dtype,
            request.num_decode_latents,
            graph=wanted.graph,
            division=place.division(request.size_px),
            packings=packings,
            num_speakers=num_speakers,
        )
        if light is not None:
            found = found.with_light_vae(light.config)
        if stage is None:
            return found
        return found.with_stage(stage.weight_bytes, stage.work_bytes(request.size_px))

    memory = plan_memory(
        wanted.memory,
        sizes,
        model.device,
        host.free_bytes(model.device),
        [torch.device(name) for name in place.local_devices[1:]],
        stay_packed=stay_packed_on_cpu(config.dit, packings),
    )
    return replace(place, memory=memory)
