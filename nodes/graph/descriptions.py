"""What travels between the nodes: small immutable descriptions. The last node runs them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from ...flashtalk_core.errors import about, require
from ...flashtalk_core.excerpt import excerpt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comfy.model_patcher import ModelPatcher
    from PIL.Image import Image
    from torch import Tensor

    from ...flashtalk_core.config.avatar import FitMode, SpeakerRouting
    from ...flashtalk_core.config.networks import DiTConfig
    from ...flashtalk_core.engine.chunk import ChunkDenoiser
    from ...flashtalk_core.engine.encoding_cache import EncodingMemo
    from ...flashtalk_core.engine.events import LoadEvents, RenderEvents
    from ...flashtalk_core.engine.plan import Engine, RenderPlan
    from ...flashtalk_core.engine.request import PromptChange
    from ...flashtalk_core.engine.resolve import Backend, Inputs, OpenedModel
    from ...flashtalk_core.engine.spec import (
        LoraSpec,
        ModelSpec,
        PlacementSpec,
        RenderSpec,
        Speaker,
    )
    from ...flashtalk_core.media.audio.info import AudioInfo
    from ...flashtalk_core.media.image.faces.detection import FaceBox
    from ...flashtalk_core.weights.discovery.files import ModelFiles
    from ...flashtalk_core.weights.load import AvatarCheckpoint
    from ...flashtalk_core.weights.lora.merge import LoraFile
    from ..host.networks import ManagedNetworks


class ManagedDevices(Protocol):
    """Several devices that render together, under ComfyUI's management."""

    def engine_for(self, peak_bytes: int) -> Engine:
        """Return the engine, when ComfyUI has made room for ``peak_bytes`` on each device."""
        ...


class HostedTransformer(Protocol):
    """A transformer that ComfyUI runs."""

    def denoiser(self, config: DiTConfig, events: LoadEvents) -> ChunkDenoiser:
        """Return what denoises chunks with it; loading goes to ``events``."""
        ...


@dataclass(frozen=True)
class ModelDescription:
    """A checked model. Its weights live as long as this does, under ComfyUI's management."""

    spec: ModelSpec
    placement: PlacementSpec
    opened: OpenedModel
    networks: ManagedNetworks
    memo: EncodingMemo
    fleet: ManagedDevices | None = None
    """What renders on several devices; ``None``: this process renders with ``networks``."""
    hosted: HostedTransformer | None = None
    """Transformer that ComfyUI runs; ``None``: it is one of ``networks``."""

    def __repr__(self) -> str:
        """Return what ComfyUI shows of the model: in error reports and in Preview Any."""
        name, dit = excerpt(self.checkpoint.config.name), self.checkpoint.sources.dit
        if self.hosted is not None:
            return f"FlashTalk model {name}: run by ComfyUI on {self._devices}"
        parts = [
            f"FlashTalk model {name}: {self.dtype_name} on {self._devices}",
            f"attention {self.placement.attention}",
            f"memory {self.placement.memory}",
            f"from {excerpt(dit[0].name)}",
        ]
        if self.checkpoint.loras:
            names = (f"{lora.path.name} x {lora.strength:g}" for lora in self.checkpoint.loras)
            parts.append(f"LoRA {excerpt(', '.join(names), 100)}")
        return ", ".join(parts)

    @property
    def checkpoint(self) -> AvatarCheckpoint:
        """Its files, checked."""
        return self.opened.checkpoint

    @property
    def dtype_name(self) -> str:
        """Dtype without the library's name."""
        return str(self.opened.dtype).removeprefix("torch.")

    @property
    def _devices(self) -> str:
        names = ", ".join(self.placement.devices) or str(self.opened.device)
        cluster = excerpt(self.placement.cluster)
        return f"{names} of cluster {cluster}" if cluster else names

    @property
    def patcher(self) -> ModelPatcher | None:
        """The patcher that ComfyUI counts this as when host memory gets short."""
        return self.networks.largest

    def engine_for(self, plan: RenderPlan, events: RenderEvents) -> Engine:
        """Return what renders a plan, when ComfyUI has made room for it; loading goes to events."""
        from ...flashtalk_core.engine.build import LocalEngine

        if self.fleet is not None:
            return self.fleet.engine_for(plan.placement.memory.peak_bytes)
        denoiser = None
        if self.hosted is not None:
            denoiser = self.hosted.denoiser(self.checkpoint.config.dit, events)
        return LocalEngine(self.networks.residency_for(plan, events), self.memo, denoiser)


def refuse_hosted(model: ModelDescription, what: str) -> None:
    """Refuse a model whose transformer ComfyUI runs.

    Args:
        model: What was connected.
        what: Begins the message: what is not done with it, and why.

    Raises:
        InvalidInputError: If it is one.
    """
    require(model.hosted is None, f"{what}; use FlashTalk Model Loader", subject="model")


def describe_model(
    spec: ModelSpec,
    placement: PlacementSpec,
    files: ModelFiles,
    loras: Sequence[LoraFile],
    backend: Backend,
    fleet: ManagedDevices | None = None,
) -> ModelDescription:
    """Check the files of a model and describe it; no weights are read.

    Args:
        spec: What was chosen.
        placement: Where and how it is to run.
        files: What ``spec`` names here.
        loras: What ``spec`` names here.
        backend: What ``placement`` names here.
        fleet: What renders if ``placement`` names several devices.

    Raises:
        FlashTalkError: If a file is damaged or of another model.
    """
    from ...flashtalk_core.engine.encoding_cache import EncodingMemo
    from ...flashtalk_core.engine.resolve import open_model
    from ..host.networks import ManagedNetworks
    from ..host.render_host import ComfyHost

    opened = open_model(files, loras, backend, placement, ComfyHost())
    networks = ManagedNetworks(opened.checkpoint)
    return ModelDescription(spec, placement, opened, networks, EncodingMemo(), fleet)


def with_lora(model: ModelDescription, lora: LoraSpec) -> ModelDescription:
    """Describe ``model`` with one LoRA more; its other networks, if read, are the same ones.

    Raises:
        FlashTalkError: If the file is missing, damaged, or of another model, or if ComfyUI runs
            the transformer.
    """
    require(
        model.hosted is None,
        f"LoRA {excerpt(lora.path)} on a native model: ComfyUI runs its transformer; add it with "
        "LoraLoaderModelOnly, between the loader and FlashTalk Model from Native",
        subject="lora",
    )
    from ...flashtalk_core.engine.resolve import find_loras
    from ..host.networks import ManagedNetworks
    from ..host.render_host import ComfyHost

    (file,) = find_loras(replace(model.spec, loras=(lora,)), ComfyHost())
    checkpoint = model.checkpoint.with_lora(file)
    return replace(
        model,
        spec=replace(model.spec, loras=(*model.spec.loras, lora)),
        opened=replace(model.opened, checkpoint=checkpoint),
        networks=ManagedNetworks(checkpoint, shared=model.networks),
    )


@dataclass(frozen=True)
class Dialogue:
    """A second speaker beside the first, and where both are."""

    audio: AudioInfo
    """What the second one says."""
    speakers: tuple[Speaker, ...]
    """When each begins and is heard, and where they are without masks."""
    masks: tuple[Image, ...]
    """``L``, of both or none."""
    routing: SpeakerRouting | None
    """How they are told apart; ``None`` is the model's."""


@dataclass(frozen=True)
class SpeechDescription:
    """Measured audio, and how far the mouth is to move."""

    audio: AudioInfo
    mouth_strength: float
    start_s: float
    duration_s: float | None
    """What was asked for, seconds; ``None`` is up to the end."""
    soundtrack: AudioInfo | None = None
    """What is heard in the video, as far as ``audio`` lasts; ``None`` is ``audio``."""
    dialogue: Dialogue | None = None
    """With two speakers."""

    def __repr__(self) -> str:
        audio = self.audio
        heard = "" if self.soundtrack is None else ", with a soundtrack"
        if self.dialogue is not None:
            heard += f", and {self.dialogue.audio.length} of a second speaker"
        return (
            f"FlashTalk speech: {audio.duration_s:.2f} s at {audio.rate_hz} Hz, "
            f"{audio.channels} channel(s), mouth strength {self.mouth_strength:g}{heard}"
        )


@dataclass(frozen=True)
class ReferenceDescription:
    """A portrait and what is to be seen."""

    image: Image
    prompt: str
    """Empty for the model's own."""
    prompt_changes: tuple[PromptChange, ...]
    size_px: tuple[int, int] | None
    """Height and width; ``None`` is the model's own."""
    fit: FitMode
    faces: tuple[FaceBox, ...] | None
    """Those of the image, where one of them is to be framed."""
    context: Tensor | None
    clip_tokens: Tensor | None

    def __repr__(self) -> str:
        size = "the model's own size" if self.size_px is None else _size(self.size_px)
        parts = [f"FlashTalk portrait: {_size(self.image.size[::-1])} to {size}, fit {self.fit}"]
        if self.context is None:
            parts.append(f"prompt {excerpt(self.prompt, 120)!r}" if self.prompt else "own prompt")
        else:
            parts.append("prompt from CONDITIONING")
        if self.clip_tokens is not None:
            parts.append("image from CLIP_VISION_OUTPUT")
        changes = len(self.prompt_changes)
        return ", ".join(parts + [f"{changes} prompt change(s)"] * bool(changes))

    def __post_init__(self) -> None:
        from ...flashtalk_core.engine.request import check_changes, check_prompt

        with about("prompt"):
            check_prompt("prompt", self.prompt)
        check_changes(self.prompt_changes, self.context)


def _size(size_px: tuple[int, int]) -> str:
    """Return height and width as people write them."""
    height, width = size_px
    return f"{width}x{height}"


@dataclass(frozen=True)
class RenderDescription:
    """A whole video, ready to be rendered."""

    spec: RenderSpec
    """Its settings; images and audio from other nodes are in ``inputs``."""
    inputs: Inputs
    plan: RenderPlan
    model: ModelDescription

    def __repr__(self) -> str:
        plan, request, sampling = self.plan, self.plan.request, self.plan.request.sampling
        stage = "" if plan.stage is None else f"{excerpt(plan.stage)}, "
        return (
            f"FlashTalk chunks: {plan.audio.duration_s:.2f} s at {_size(request.size_px)}, {stage}"
            f"{sampling.steps} {sampling.rule} step(s), seed {sampling.seed}, of {self.model!r}"
        )

    @property
    def patcher(self) -> ModelPatcher | None:
        """See :attr:`ModelDescription.patcher`: this keeps the model alive as well."""
        return self.model.patcher
