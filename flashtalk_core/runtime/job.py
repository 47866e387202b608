"""A plan as a message, and back: what a rank needs to render, all of it decided already."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .. import __version__
from ..acceleration.attention_kernels import choose_attention
from ..acceleration.kernel_options import Exchange, KernelOptions
from ..config.avatar import FitMode, SpeakerRouting
from ..config.chunk import ChunkConfig
from ..config.light_vae import MotionVAE
from ..config.sampling import SamplingConfig
from ..engine.plan import RenderPlan, library_versions
from ..engine.request import AvatarRequest, PromptChange
from ..engine.speakers.planned import PlannedSpeaker
from ..engine.spec import LoraSpec
from ..errors import InvalidInputError, WeightsError, require
from ..json_text import parse_json
from ..media.audio.info import AudioInfo
from ..media.audio.source import Block
from ..placement.devices import device_name
from ..placement.memory_plan import MemoryPlan
from ..placement.place import Placement
from ..settings import read_plain
from ..weights.discovery.files import ModelFiles, model_files
from ..weights.discovery.parts import Part
from ..weights.light_vae import open_light_vae
from ..weights.load import AvatarCheckpoint, open_checkpoint
from ..weights.lora.merge import LoraFile
from .channel import Blob
from .messages import Array


@dataclass(frozen=True, kw_only=True)
class Files:
    """Paths of a model, absolute; see :class:`ModelFiles`."""

    root: str
    dit: tuple[str, ...]
    vae: str
    text: str | None
    tokenizer: str | None
    clip: str | None
    audio: str


@dataclass(frozen=True, kw_only=True)
class Model:
    """What decides the weights in memory: networks that were read serve the next job alike."""

    files: Files
    identity: str
    """As the process that renders found the files."""
    loras: tuple[LoraSpec, ...]
    dtype: str
    attention: str
    """Name of the kernel."""
    kernel_options: KernelOptions
    memory: MemoryPlan
    light_vae: str | None = None
    """File of what decodes in the place of its autoencoder."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A plan; images and encodings in memory are blobs, in the order of their fields."""

    model: Model
    fingerprint: str
    """Of the session's states."""
    signature: tuple[str, ...]
    """See :func:`plan_signature`; an engine on another host must have the same."""
    image: Array
    masks: Array | None
    """Of two speakers, as large as the image."""
    routing: SpeakerRouting
    context: Array | None
    clip_tokens: Array | None
    prompt: str
    prompt_changes: tuple[PromptChange, ...]
    size_px: tuple[int, int]
    fit: FitMode
    sampling: SamplingConfig
    chunk: ChunkConfig
    num_decode_latents: int
    vae_devices: tuple[int, ...]
    vae_grid: str
    exchange: Exchange
    ring: int
    motion_vae: MotionVAE = "full"


def pack_plan(plan: RenderPlan) -> tuple[str, list[Blob]]:
    """Return a plan as JSON of a :class:`Job`, and its blobs.

    Raises:
        InvalidInputError: If the weights are in no file.
    """
    request, blobs = plan.request, list[Blob]()

    def add(tensor: Tensor | None) -> Array | None:
        if tensor is None:
            return None
        array, blob = pack_tensor(tensor)
        blobs.append(blob)
        return array

    image = add(torch.from_numpy(np.array(request.image.convert("RGB"))))
    assert image is not None
    job = Job(
        model=_pack_model(plan),
        fingerprint=plan.fingerprint(),
        signature=plan_signature(plan),
        image=image,
        masks=add(_pack_masks(plan)),
        routing=plan.routing,
        context=add(request.context),
        clip_tokens=add(request.clip_tokens),
        prompt=request.prompt,
        prompt_changes=request.prompt_changes,
        size_px=request.size_px,
        fit=request.fit,
        sampling=request.sampling,
        chunk=plan.chunk,
        num_decode_latents=request.num_decode_latents,
        vae_devices=plan.placement.vae_devices,
        vae_grid=plan.placement.vae_grid,
        exchange=plan.placement.exchange,
        ring=plan.placement.ring,
        motion_vae=plan.motion_vae,
    )
    return json.dumps(asdict(job), allow_nan=False), blobs


def plan_signature(plan: RenderPlan) -> tuple[str, ...]:
    """Return what decides the numbers of a plan but for its audio, which comes with the chunks.

    Returns:
        Versions, the device, and a hash of all; two hosts whose renders are the same have the same.
    """
    sent = _sent_audio(plan.chunk)
    silent = replace(
        plan,
        speakers=tuple(replace(each, audio=sent) for each in plan.speakers),
        sound=None if plan.sound is None else sent,
    )
    return (
        f"flashtalk {__version__}",
        *library_versions(),
        device_name(plan.placement.device),
        f"plan {silent.fingerprint()[:12]}",
    )


def read_job(text: str) -> Job:
    """Read the JSON of a job.

    Raises:
        InvalidInputError: If it is none.
    """
    try:
        values = parse_json(text)
    except ValueError as error:
        raise InvalidInputError(f"job: no JSON ({error})") from error
    job: Job = read_plain(Job, values, "job")
    return job


def unpack_plan(job: Job, blobs: Sequence[bytearray], device: torch.device) -> RenderPlan:
    """Return the plan of a job on a device; its audio comes with the chunks.

    Raises:
        FlashTalkError: If the device or the files are not as the process that renders found them.
    """
    model, left = job.model, list(blobs)

    def take(array: Array | None) -> Tensor | None:
        return None if array is None else unpack_tensor(array, left.pop(0))

    image = take(job.image)
    assert image is not None
    masks = take(job.masks)
    request = AvatarRequest(
        image=Image.fromarray(image.numpy()),
        context=take(job.context),
        clip_tokens=take(job.clip_tokens),
        prompt=job.prompt,
        prompt_changes=job.prompt_changes,
        size_px=job.size_px,
        fit=job.fit,
        sampling=job.sampling,
        chunk=job.chunk,
        num_decode_latents=job.num_decode_latents,
    )
    loras = [LoraFile(Path(lora.path), lora.strength) for lora in model.loras]
    checkpoint = open_checkpoint(
        _model_files(model.files), choose_attention(model.attention, device), loras
    )
    if model.light_vae is not None:
        light = open_light_vae(Path(model.light_vae), checkpoint.config.vae)
        checkpoint = checkpoint.with_light_vae(light)
    if _identity_of(checkpoint) != model.identity:
        raise WeightsError(
            f"{model.files.dit[0]}: it or another file of the model changed while a render was "
            "started; start it again"
        )
    return RenderPlan(
        checkpoint=checkpoint,
        motion_vae=job.motion_vae,
        request=request,
        speakers=_sent_speakers(job.chunk, masks),
        sound=None if masks is None else _sent_audio(job.chunk),
        routing=job.routing,
        placement=Placement(
            device,
            getattr(torch, model.dtype),
            kernel_options=model.kernel_options,
            memory=model.memory,
            vae_devices=job.vae_devices,
            vae_grid=job.vae_grid,
            exchange=job.exchange,
            ring=job.ring,
        ),
        attention=model.attention,
    )


def pack_tensor(tensor: Tensor) -> tuple[Array, Blob]:
    """Return a tensor as a message and a blob have it; its values are not changed."""
    values = tensor.detach().cpu().contiguous()
    array = Array(dtype=str(values.dtype).removeprefix("torch."), shape=tuple(values.shape))
    return array, values.reshape(-1).view(torch.uint8).numpy().data


def unpack_tensor(array: Array, blob: bytearray) -> Tensor:
    """Return the tensor that :func:`pack_tensor` packed, in the memory of ``blob``.

    Raises:
        InvalidInputError: If the two do not go together.
    """
    dtype = getattr(torch, array.dtype, None)
    is_whole = isinstance(dtype, torch.dtype) and dtype.itemsize * prod(array.shape) == len(blob)
    require(is_whole and len(blob) > 0, f"message with {array}: {len(blob)} bytes came instead")
    assert isinstance(dtype, torch.dtype)
    return torch.frombuffer(blob, dtype=dtype).reshape(array.shape)


def _pack_model(plan: RenderPlan) -> Model:
    checkpoint, place = plan.checkpoint, plan.placement
    files = checkpoint.files
    require(files is not None, "several devices: they read the model's files, and it has none")
    assert files is not None

    def name(path: Path | None) -> str | None:
        return None if path is None else str(path.absolute())

    return Model(
        files=Files(
            root=str(files.root.absolute()),
            dit=tuple(str(path.absolute()) for path in files.dit),
            vae=str(files.vae.absolute()),
            text=name(files.text),
            tokenizer=name(files.tokenizer),
            clip=name(files.clip),
            audio=str(files.audio.absolute()),
        ),
        identity=_identity_of(checkpoint),
        loras=tuple(
            LoraSpec(str(lora.path.absolute()), lora.strength) for lora in checkpoint.loras
        ),
        dtype=str(place.dtype).removeprefix("torch."),
        attention=plan.attention,
        kernel_options=place.kernel_options,
        memory=place.memory,
        light_vae=name(None if checkpoint.light_vae is None else checkpoint.light_vae.path),
    )


def _identity_of(checkpoint: AvatarCheckpoint) -> str:
    """Return the identity of every file that a model is read from."""
    light, own = checkpoint.light_vae, checkpoint.sources.identity
    return own if light is None else f"{own}; light_vae {light.identity}"


def _model_files(files: Files) -> ModelFiles:
    others: dict[Part, str | None] = {
        "vae": files.vae,
        "text": files.text,
        "tokenizer": files.tokenizer,
        "clip": files.clip,
        "audio": files.audio,
    }
    found: dict[Part, tuple[Path, ...]] = {"dit": tuple(map(Path, files.dit))}
    found |= {part: (Path(path),) for part, path in others.items() if path is not None}
    return model_files(found, Path(files.root))


@dataclass(frozen=True)
class _SentAudio:
    """Audio whose samples come with the chunks; see :class:`AudioSource`."""

    rate_hz: int
    name: str = "audio of the chunks"
    channels: int = 1
    layout: str = "mono"
    num_samples: int | None = None
    identity: str | None = None

    def has_sample(self, index: int) -> bool:
        """Not asked: the process that renders knows the end."""
        raise NotImplementedError(index)

    def blocks(self) -> Iterator[Block]:
        """Not read: each chunk brings its window."""
        raise NotImplementedError


def _sent_audio(chunk: ChunkConfig) -> AudioInfo:
    return AudioInfo.growing(_SentAudio(chunk.sample_rate_hz))


def _sent_speakers(chunk: ChunkConfig, masks: Tensor | None) -> tuple[PlannedSpeaker, ...]:
    audio = _sent_audio(chunk)
    if masks is None:
        return (PlannedSpeaker(audio),)
    return tuple(PlannedSpeaker(audio, Image.fromarray(mask.numpy())) for mask in masks)


def _pack_masks(plan: RenderPlan) -> Tensor | None:
    """Return the masks of two speakers as they are, ``(2, h, w)`` uint8, as large as the image."""
    masks = [np.array(each.mask) for each in plan.speakers if each.mask is not None]
    return torch.from_numpy(np.stack(masks)) if masks else None
