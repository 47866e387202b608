"""Everything that determines a video, checked, without reading weights; and who renders it."""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

from PIL.Image import Image
from torch import Tensor, nn

from ..acceleration.attention_kernels import KERNELS, is_installed
from ..config.avatar import AvatarConfig, SpeakerRouting
from ..config.chunk import ChunkConfig
from ..config.light_vae import MotionVAE
from ..config.sampling import SamplingConfig
from ..excerpt import excerpt
from ..media.audio.info import AudioInfo
from ..media.audio.source import SampleReader
from ..media.image.portrait import fit_image
from ..media.masks import fit_masks
from ..media.pixels import to_model_range
from ..models.encoders.audio import AudioEncoder
from ..models.transformer.model import AvatarDiT
from ..models.vae.light_vae import AUTOENCODERS
from ..models.vae.model import VideoVAE
from ..placement.activation_sizes import (
    decode_bytes,
    encoder_recording_bytes,
    light_decode_bytes,
    recording_bytes,
    session_bytes,
    step_bytes,
)
from ..placement.place import Placement
from ..placement.rounding import rounding_of
from ..stages.stage import FrameFormat, FrameStage
from ..weights.load import AvatarCheckpoint
from .events import RenderEvents
from .request import AvatarRequest
from .speakers.planned import PlannedSpeaker
from .state import ChunkSource

RENDER_REVISION = 2
"""Increased by every change that makes other bytes from the same settings."""
_LIBRARIES = (
    "torch",
    "triton",
    "triton-windows",
    "pytorch-triton-rocm",
    "transformers",  # decides nothing any more; renders of before, interrupted, still go on
    "av",
    "numpy",
    "pillow",
    "soxr",
)


@dataclass(frozen=True, kw_only=True)
class RenderPlan:
    """A model, a request and those who talk."""

    checkpoint: AvatarCheckpoint
    request: AvatarRequest
    speakers: tuple[PlannedSpeaker, ...]
    """One, or two with masks."""
    placement: Placement
    attention: str = "auto"
    """Name of the attention kernel the checkpoint was opened with."""
    soundtrack: AudioInfo | None = None
    """What is heard in the video; ``None`` is the speech."""
    stage: FrameStage | None = None
    """What happens to frames before they are encoded; ``None`` is nothing."""
    sound: AudioInfo | None = None
    """Audio of the video where it is not that of one speaker."""
    routing: SpeakerRouting = "rotary"
    """How two speakers are told apart."""
    motion_vae: MotionVAE = "full"
    """What makes motion frames; without effect unless a light autoencoder decodes."""
    older_decode_latents: int | None = None
    """Latent frames decoded at once by renders of the same spec that an earlier version began, as
    its default was another one; ``None`` if it was the same."""

    def __post_init__(self) -> None:
        has_two = len(self.speakers) == 2
        assert len(self.speakers) in (1, 2), self.speakers
        assert all((each.mask is not None) == has_two for each in self.speakers), self.speakers
        assert not has_two or self.sound is not None, "two speakers are mixed"

    def __repr__(self) -> str:
        name = excerpt(self.checkpoint.config.name)
        return f"RenderPlan({name}, {self.request!r}, {self.audio.length} of audio)"

    @property
    def audio(self) -> AudioInfo:
        """Audio of the video: what its only speaker says, or both."""
        return self.sound or self.speakers[0].audio

    @property
    def voices(self) -> tuple[AudioInfo, ...]:
        """Audio of each speaker."""
        return tuple(speaker.audio for speaker in self.speakers)

    def speaker_masks(self) -> Tensor | None:
        """Return where two speakers are; ``None`` with one.

        Returns:
            ``(3, H, W)`` float32 of 0 and 1: speaker 1, speaker 2, background.
        """
        masks = [each.mask for each in self.speakers if each.mask is not None]
        if not masks:
            return None
        return fit_masks(masks, self.request.size_px, self.request.fit)

    @property
    def track(self) -> AudioInfo:
        """Audio that is heard in the video."""
        return self.soundtrack or self.audio

    @property
    def format(self) -> FrameFormat:
        """Frames as they are encoded."""
        chunk = self.chunk
        made = FrameFormat(self.request.size_px, chunk.frame_rate_hz, chunk.num_new_frames)
        return made.after(self.stage)

    @property
    def chunk(self) -> ChunkConfig:
        """Arithmetic of a chunk."""
        return self.request.chunk_of(self.checkpoint.config)

    @property
    def num_decode_latents(self) -> int:
        """Latent frames that are decoded at once; row tiles are for where memory is short."""
        return 1 if self.placement.memory.row_tiles else self.request.num_decode_latents

    def as_begun_before(self) -> RenderPlan | None:
        """Return this as an earlier version planned it, whose interrupted renders go on as begun.

        ``None`` if it planned the same.
        """
        if self.older_decode_latents is None:
            return None
        request = replace(self.request, num_decode_latents=self.older_decode_latents)
        return replace(self, request=request, older_decode_latents=None)

    def fitted_image(self) -> Tensor:
        """Return the portrait at the size of the video, ``(3, H, W)`` float32 in ``[-1, 1]``."""
        request = self.request
        return to_model_range(fit_image(request.image, request.size_px, request.fit))

    @property
    def is_repeatable(self) -> bool:
        """Whether equal fingerprints mean equal videos.

        Audio without an identity has none, and neither has a model that is not told by its own.
        """
        if self.checkpoint.sources.unidentified:
            return False
        heard = [speaker.audio for speaker in self.speakers]
        return all(audio.identity is not None for audio in (*heard, self.track))

    def fingerprint(self) -> str:
        """Return a hash of everything that determines the image, as it is generated.

        Devices, kernels and versions are included, and for a CPU the number of threads: they
        round differently.
        Audio without an identity counts as nothing, so renders of such audio must not be stored.
        """
        request, place = self.request, self.placement
        # Without several devices, speakers or autoencoders there is no such entry: older ones
        # stay valid.
        several: dict[str, object] = {"parallel": self._division()} if place.devices else {}
        masks = self.speaker_masks()
        if masks is not None:
            several |= {
                "masks": masks,
                "voices": [voice.identity for voice in self.voices],
                "routing": self.routing,
            }
        if (light := self.checkpoint.light_vae) is not None:
            several["light_vae"] = [light.identity, self.motion_vae]
        prompts = [request.prompt, *map(asdict, request.prompt_changes)]
        return fingerprint(
            picture=request.image,
            context=request.context,
            clip_tokens=request.clip_tokens,
            size_px=request.size_px,
            fit=request.fit,
            prompts=prompts if request.context is None else [],
            sampling=_sampled(request.sampling),
            chunk=asdict(self.chunk),
            num_decode_latents=request.num_decode_latents,
            sound=self.audio.identity,
            model=_drawn_by(self.checkpoint.config),
            files=self.checkpoint.sources.identity,
            loras=[lora.identity for lora in self.checkpoint.loras],
            dtype=str(place.dtype),
            memory=[place.memory.float8, place.memory.row_tiles],
            rounding=[rounding_of(place.device), rounding_of(place.device_of(VideoVAE))],
            # The constant stands for a field that this once had: older fingerprints stay valid.
            paths=asdict(place.kernel_options) | {"float8": False},
            attention=[self.attention, *_installed_kernels()],
            versions=[RENDER_REVISION, *map(_version, _LIBRARIES)],
            **several,
        )

    def video_fingerprint(self) -> str:
        """Return a hash of everything that determines the video but for its encoder."""
        more: dict[str, object] = {}
        if self.stage is not None:
            more["stage"] = self.stage.identity
        if self.soundtrack is not None:
            more["soundtrack"] = self.soundtrack.identity
        # Without either it is the same: older fingerprints stay valid.
        return fingerprint(plan=self.fingerprint(), **more) if more else self.fingerprint()

    def _division(self) -> list[object]:
        """Return how several devices divide the work, as values that JSON can hold."""
        place = self.placement
        grid = str(place.grid(self.request.size_px))
        return [place.num_devices, grid, place.exchange, place.ring]


def _sampled(sampling: SamplingConfig) -> dict[str, object]:
    """Return the settings; those that are the authors' have no entry, as in older fingerprints."""
    values = asdict(sampling)
    if sampling.colour_area == "frame":
        del values["colour_area"]
    if not sampling.join_frames:
        del values["join_frames"]
    return values


class Engine(Protocol):
    """Renders plans, one at a time."""

    def open(
        self, plan: RenderPlan, audio: SampleReader, events: RenderEvents
    ) -> AbstractContextManager[ChunkSource]:
        """Prepare a session; its memory is free again when the context is left.

        Args:
            plan: Of the video.
            audio: Analysed audio.
            events: Receives loading, and the steps and stages of each chunk; may raise to stop.

        Raises:
            FlashTalkError: If the request does not fit the model, or the engine cannot run it.
        """
        ...


def _drawn_by(config: AvatarConfig) -> dict[str, object]:
    """Return what of a model decides the image; a frame around a face is in the image already."""
    found = {
        name: value
        for name, value in asdict(config).items()
        if name not in ("framing", "speaker_routing")
    }
    found["sampling"] = _sampled(config.sampling)
    if not config.vae.light_widths:
        # Fields that the autoencoder once had not: older fingerprints stay valid.
        kept = (item for item in found["vae"].items() if not item[0].startswith("light_"))
        found["vae"] = dict(kept)
    return found


def _installed_kernels() -> list[str]:
    """Return the kernels that were available for choice, with their versions."""
    return [
        " ".join([kernel.name, *map(_version, kernel.distributions)])
        for kernel in KERNELS
        if is_installed(kernel)
    ]


def library_versions() -> tuple[str, ...]:
    """Return the installed libraries that decide the numbers of a render, with their versions."""
    return tuple(f"{name} {found}" for name in _LIBRARIES if (found := _version(name)))


@cache  # each reads a file of the package, for every fingerprint of a plan
def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def fingerprint(**settings: object) -> str:
    """Return a hash of named values: tensors, images, and what JSON can represent."""
    digest = hashlib.sha256()
    for name, value in sorted(settings.items()):
        digest.update(name.encode())
        digest.update(_bytes_of(value))
    return digest.hexdigest()


def _bytes_of(value: object) -> bytes:
    if isinstance(value, Tensor):
        numbers = value.detach().cpu().float().contiguous().numpy()
        return str(numbers.shape).encode() + numbers.tobytes()
    if isinstance(value, Image):
        return str(value.size).encode() + value.tobytes()
    return json.dumps(value, sort_keys=True).encode()


def working_bytes(kind: type[nn.Module], plan: RenderPlan) -> int:
    """Estimate what a network of class ``kind`` needs in addition to its weights, in bytes.

    Encoders run once on little data and count as nothing, unless the audio encoder is recorded.
    """
    config, request, place = plan.checkpoint.config, plan.request, plan.placement
    graph = place.memory.graph
    if kind is AvatarDiT:
        sizes = config, request.size_px, plan.chunk, place.dtype
        recordings = recording_bytes(*sizes, graph)
        voices = session_bytes(*sizes, num_speakers=len(plan.speakers))
        return step_bytes(*sizes) + voices + recordings
    if kind is AudioEncoder and graph != "off":
        return encoder_recording_bytes(config, plan.chunk, place.dtype)
    if kind not in AUTOENCODERS:
        return 0
    sizes_px = request.size_px, place.dtype, request.num_decode_latents
    staged = 0 if plan.stage is None else plan.stage.work_bytes(request.size_px)
    row_tiles = place.memory.row_tiles
    if kind is VideoVAE:
        return staged + decode_bytes(config, *sizes_px, row_tiles=row_tiles)
    light = plan.checkpoint.light_vae
    assert light is not None, "what is used was chosen"
    return staged + light_decode_bytes(config, light.config, *sizes_px, row_tiles=row_tiles)
