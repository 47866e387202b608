"""A render as a user specifies it: plain data, the message to a worker and the record of a job.

Nothing here was checked against the devices, files and models of this machine:
:func:`~.resolve.resolve` does that. Every field that is ``None`` is the model's own value.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from ..acceleration.kernel_options import Exchange, GraphMode
from ..config.avatar import FitMode, SpeakerRouting
from ..config.chunk import ChunkConfig, check_num_frames, check_num_motion_frames
from ..config.light_vae import MotionVAE
from ..config.sampling import ColourArea, SamplingConfig, StepRule
from ..errors import InvalidInputError, about, require
from ..excerpt import excerpt, shown_path
from ..files.paths import is_file
from ..json_text import parse_json
from ..media.audio.dialogue.turns import Turns
from ..media.audio.loudness import TARGET_LUFS
from ..placement.memory_plan import MemoryChoice
from ..settings import read_plain
from .request import PromptChange

VERSION = 1
"""Of the JSON form; increased when a field changes its meaning, is renamed or removed."""
_WHERE = "render spec"
_SUBJECTS = {
    "start_s": "sound_start",
    "duration_s": "sound_duration",
    "loudness_lufs": "sound_loudness",
    "size_px": "size",
    "face_detector": "fit",
    "num_frames": "chunk_frames",
    "num_motion_frames": "motion_frames",
    "name": "model",
    "text_encoder": "text",
    "clip_vision": "clip",
    "audio_encoder": "audio",
    "loras": "lora",
    "offset_s": "speakers",
    "turns": "speakers",
}
"""Subjects of errors by field of a spec, where they differ."""


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """A speaker."""

    audio: str | None = None
    """Path of speech, or of a video with it; ``None`` if it is passed separately."""
    mask: str | None = None
    """Where one of two is: ``left``, ``right``, ``face`` (found, from left to right), a box
    ``X,Y,WIDTH,HEIGHT`` in pixels of the portrait, or the path of an image as large, white there.
    ``None`` is everywhere."""
    offset_s: float = 0.0
    """When their audio begins in the video, seconds."""
    turns: Turns = ()
    """Seconds of the video from and to which one of two is heard; empty is always."""

    def __repr__(self) -> str:
        return f"Speaker({_shown(self.audio)}, mask {_shown(self.mask)})"


@dataclass(frozen=True)
class LoraSpec:
    """A LoRA and how much of it is added."""

    path: str
    """Path, or in ComfyUI the name in its menu."""
    strength: float = 1.0

    def __repr__(self) -> str:
        return f"LoraSpec({_shown(self.path)} x {self.strength:g})"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a path, or a path and a strength as ``style.safetensors:0.8``.

        Raises:
            InvalidInputError: If there is such a file, and no number behind it.
        """
        path, colon, strength = text.rpartition(":")
        try:
            return cls(path, float(strength)) if colon else cls(text)
        except ValueError:
            require(
                is_file(Path(text)) or not is_file(Path(path)),
                f"lora {shown_path(path)}: strength {excerpt(strength)!r}: use a number, such as "
                "0.8, or leave the colon out",
                subject="lora_strength",
            )
            return cls(text)  # the colon belongs to the path


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Which weights; the host knows where they are."""

    name: str = "tiny"
    """``tiny``, which is bundled; a folder of weights; in ComfyUI a name in the loader's menu."""
    vae: str = "auto"
    """A file for one part, as ComfyUI has them; ``auto`` finds it, ``none`` does without."""
    text_encoder: str = "auto"
    clip_vision: str = "auto"
    audio_encoder: str = "auto"
    audio_layers: str = "auto"
    """A file with those of InfiniteTalk, for a transformer that has none; ``auto`` looks for one
    then, ``none`` does not."""
    loras: tuple[LoraSpec, ...] = ()
    """Merged into the transformer in this order."""
    light_vae: str = "none"
    """A file with a light autoencoder, which decodes the video; ``none``: the model's own does."""

    def __repr__(self) -> str:
        return f"ModelSpec({_shown(self.name)}, {len(self.loras)} LoRA(s))"


@dataclass(frozen=True, kw_only=True)
class SamplingSpec:
    """Overrides of the fields of :class:`SamplingConfig`."""

    steps: int | None = None
    rule: StepRule | None = None
    shift: float | None = None
    seed: int | None = None
    colour_strength: float | None = None
    colour_area: ColourArea | None = None
    join_frames: int | None = None
    mouth_strength: float | None = None

    def over(self, defaults: SamplingConfig) -> SamplingConfig:
        """Return ``defaults`` with these overrides.

        Raises:
            InvalidInputError: If a value is out of range.
        """
        return replace(defaults, **_given(self))


@dataclass(frozen=True, kw_only=True)
class ChunkSpec:
    """Overrides of the fields of :class:`ChunkConfig`."""

    num_frames: int | None = None
    num_motion_frames: int | None = None

    def over(self, defaults: ChunkConfig) -> ChunkConfig:
        """Return ``defaults`` with these overrides; see :meth:`SamplingSpec.over`."""
        return replace(defaults, **_given(self))

    def check(self) -> None:
        """Check what is the same for every model.

        Raises:
            InvalidInputError: If a value is possible with none.
        """
        if self.num_frames is not None:
            check_num_frames(self.num_frames)
            if self.num_motion_frames is not None:
                check_num_motion_frames(self.num_motion_frames, self.num_frames)


@dataclass(frozen=True, kw_only=True)
class FramesSpec:
    """What happens to frames before they are encoded."""

    upscale: str | None = None
    """Path of an upscaling network; ``None`` leaves frames as they are."""
    upscale_by: float | None = None
    """How much larger frames become; ``None`` is what the network does."""

    def __repr__(self) -> str:
        return f"FramesSpec({_shown(self.upscale)} x {self.upscale_by})"


@dataclass(frozen=True, kw_only=True)
class PlacementSpec:
    """Where and how the networks run, by names that the host knows."""

    device: str = "auto"
    devices: tuple[str, ...] = ()
    """Devices that render together, such as ``("cuda:0", "cuda:1")``; then ``device``
    stays ``auto``. Empty, or one: that device renders, in this process."""
    vae_device: str | None = None
    """Where the autoencoder runs; ``None`` is where the others do."""
    dtype: str = "auto"
    """``float32``, ``bfloat16``, ``float16``; ``auto`` is what suits the device."""
    attention: str = "auto"
    """Attention kernel."""
    speed: str = "auto"
    """One of ``kernel_options.SPEED_WORDS``: eager, fused or compiled execution."""
    disabled: tuple[str, ...] = ()
    """Kernel options of that speed that are left out: fields of ``KernelOptions``."""
    memory: MemoryChoice = field(default_factory=MemoryChoice)
    """How much of the model is resident on the device, and whether it is in FP8."""
    decode_latents: int | None = None
    """Latent frames decoded at once; ``None`` is what suits the device."""
    graph: GraphMode = "auto"
    """Whether denoising steps and the audio encoder become CUDA graphs; the image is the same."""
    vae_devices: tuple[int, ...] = ()
    """Devices that share the autoencoder, by their numbers, from 0, among those of the render;
    empty is all."""
    vae_grid: str = "auto"
    """How they share it: ``auto``, ``rows``, ``columns``, or rows and columns of bands, ``2x4``."""
    exchange: Exchange = "collectives"
    """What exchanges tokens between several devices; ``xfuser`` is a package to be installed."""
    ring: int = 1
    """How many groups of devices pass keys and values around (Ring); the devices of a group
    exchange tokens for heads (Ulysses)."""
    cluster: str = ""
    """Ray cluster that renders, ``host:port`` or ``auto``, on such a device or so many of one of
    its hosts; empty: this host."""


@dataclass(frozen=True, kw_only=True)
class RenderSpec:
    """Everything a user can set once for a render."""

    portrait: str | None = None
    """Path of an image; ``None`` if it is passed separately."""
    speakers: tuple[Speaker, ...] = (Speaker(),)
    """One or two; with two the video is as long as the last of their audio."""
    speaker_routing: SpeakerRouting | None = None
    """How two are told apart; ``None`` is the model's."""
    start_s: float = 0.0
    """Start of the part of the speech that is rendered, seconds; of each speaker's own."""
    duration_s: float | None = None
    """Its length in seconds; ``None`` is up to the end."""
    loudness_lufs: float = TARGET_LUFS
    """Loudness that the model hears the speech at."""
    soundtrack: str | None = None
    """Path of what is heard in the video instead of the speech, such as the mix that it is a part
    of; from the same second on."""
    prompt: str | None = None
    prompt_changes: tuple[PromptChange, ...] = ()
    """Later prompts, in order of time."""
    size_px: tuple[int, int] | None = None
    """Height and width."""
    fit: FitMode = "cover"
    """``cover`` fills the frame and cuts the sides off, ``pad`` shows the whole image, ``face``
    takes the part around its face."""
    face_detector: str | None = None
    """File of YuNet's network, which finds the faces of fit and masks; ``None`` is the host's."""
    sampling: SamplingSpec = field(default_factory=SamplingSpec)
    chunk: ChunkSpec = field(default_factory=ChunkSpec)
    model: ModelSpec = field(default_factory=ModelSpec)
    placement: PlacementSpec = field(default_factory=PlacementSpec)
    frames: FramesSpec = field(default_factory=FramesSpec)
    motion_vae: MotionVAE = "full"
    """What makes motion frames where a light autoencoder decodes."""

    def __repr__(self) -> str:
        prompt = "own prompt" if self.prompt is None else f"prompt {excerpt(self.prompt)!r}"
        return f"RenderSpec({_shown(self.portrait)}, {len(self.speakers)} speaker(s), {prompt})"

    def to_json(self) -> str:
        """Return the JSON form, of :data:`VERSION`.

        Raises:
            InvalidInputError: If a number is infinite or NaN, which JSON cannot represent.
        """
        try:
            return json.dumps({"version": VERSION} | asdict(self), allow_nan=False)
        except ValueError as error:
            raise InvalidInputError(
                f"{_WHERE}: a number in it is NaN or infinite; use finite numbers", subject="spec"
            ) from error

    @classmethod
    def from_json(cls, text: str | bytes) -> RenderSpec:
        """Read the JSON form; omitted fields have their defaults.

        Types are checked here, and values by :func:`~.resolve.resolve`.

        Raises:
            InvalidInputError: If it is not JSON, of another version, or has a key that is not
                known or a value of another type. Its subject is a setting, a section of the
                spec, or ``spec``.
        """
        try:
            with about("spec"):
                spec: RenderSpec = read_plain(cls, _read_fields(text), _WHERE)
        except InvalidInputError as error:
            error.subject = _setting_at(error.subject or "")
            raise
        return spec


def subject_of(field_name: str) -> str:
    """Return the subject of errors about a field of a spec or of one of its sections."""
    return _SUBJECTS.get(field_name, field_name)


def _read_fields(text: str | bytes) -> dict[str, Any]:
    """Return the fields of a spec of this version, unchecked."""
    try:
        values: Any = parse_json(text)
    except ValueError as error:
        raise InvalidInputError(
            f"{_WHERE}: no JSON ({error}); use what RenderSpec.to_json wrote"
        ) from error
    require(
        isinstance(values, dict),
        f"{_WHERE} {excerpt(repr(values))}: use an object in braces",
    )
    version = values.pop("version", None)
    require(
        type(version) is int and version == VERSION,
        f"{_WHERE} of version {excerpt(repr(version))}: this FlashTalk reads version "
        f"{VERSION}; write it again with this FlashTalk, or read it with the one that wrote it",
    )
    return values


def _setting_at(place: str) -> str:
    """Return the subject for a place in the JSON form; what is no place is a subject already."""
    keys = place.removeprefix(f"{_WHERE}: ").partition("[")[0].split(".")
    return subject_of(keys[:2][-1])  # what is further inside belongs to that setting


def _given(spec: SamplingSpec | ChunkSpec) -> dict[str, Any]:
    values = {each.name: getattr(spec, each.name) for each in fields(spec)}
    return {name: value for name, value in values.items() if value is not None}


def _shown(path: str | None) -> str:
    return "none" if path is None else repr(excerpt(path))
