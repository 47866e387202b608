"""Loading of avatar models from their files, whole or one component at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..config.avatar import AvatarConfig
from ..config.light_vae import LightVAEConfig
from ..errors import WeightsError, about
from ..excerpt import excerpt
from ..models.attention import Attention, sdpa
from ..models.encoders.audio import AudioEncoder
from ..models.encoders.clip_vision import ClipVision
from ..models.encoders.text import TextEncoder
from ..models.encoders.tokenizer import Tokenizer
from ..models.transformer.model import AvatarDiT
from ..models.vae.light_vae import AUTOENCODERS, LightVAE
from ..models.vae.model import VideoVAE
from ..quantization.packed.packing import Packing
from .discovery.files import ModelFiles, open_files, warn_about_settings
from .discovery.infinite_talk import is_infinite_talk
from .discovery.layout import find_model_files, resolve_model
from .discovery.parts import PARTS, Part
from .formats.file_border import file_identity
from .formats.scaled_fp8 import tokenizer_tensor
from .formats.source import TensorSource
from .formats.suffixes import SAFETENSORS
from .formats.tensor_file import TensorFile, open_tensor_file
from .lora.merge import LoraFile, plan_loras
from .mapping.key_maps import AUDIO_KEYS, DIT_KEYS, TEXT_KEYS, VAE_KEYS, KeyMap, clip_keys
from .mapping.kinds import check_sources_kind
from .mapping.model_config import avatar_config
from .mapping.published_names import with_published_names
from .model_sources import ModelSources, Sources
from .plan import LayerHook, LoadPlan, ModuleT, load_module, plan_component
from .unfilled import unfilled

_BLOCKS = "blocks."
"""What the parameters of a transformer's blocks begin with."""
_OTHER_TOKENS = {32_000: "T5's", 250_100: "mT5's"}
"""Sizes of tokenizers in files of the same name, which would encode other words than were said."""
_UMT5_ROWS = 256_384


@dataclass(frozen=True)
class AvatarModels:
    """Every component of an avatar model, ready to run."""

    config: AvatarConfig
    dit: AvatarDiT = field(repr=False)
    vae: VideoVAE = field(repr=False)
    text_encoder: TextEncoder = field(repr=False)
    tokenizer: Tokenizer = field(repr=False)
    clip: ClipVision = field(repr=False)
    audio_encoder: AudioEncoder = field(repr=False)


@dataclass(frozen=True)
class LightVAEFile:
    """A light autoencoder whose file was checked; its weights are read when it is used."""

    path: Path
    config: LightVAEConfig
    plan: LoadPlan[LightVAE]

    def __repr__(self) -> str:
        return f"LightVAEFile({excerpt(self.path.name)})"

    @property
    def identity(self) -> str:
        """Name, size and time of change of the file; text for a fingerprint."""
        return file_identity(self.path)

    @property
    def kind(self) -> str:
        """What it is, for people."""
        if not self.config.is_tae:
            return f"LightVAE, {self.config.vae.dim} wide"
        latents = "raw" if self.config.has_raw_latents else "normalised"
        return f"TAE of {latents} latents"


@dataclass(frozen=True)
class AvatarCheckpoint:
    """An avatar model that was checked and from which any component can be loaded."""

    sources: ModelSources
    config: AvatarConfig
    tokenizer: Tokenizer | None
    """``None`` without a text encoder."""
    dit_plan: LoadPlan[AvatarDiT]
    vae_plan: LoadPlan[VideoVAE]
    text_plan: LoadPlan[TextEncoder] | None
    """``None`` when the model is used without, as is the next."""
    clip_plan: LoadPlan[ClipVision] | None
    audio_plan: LoadPlan[AudioEncoder]
    loras: tuple[LoraFile, ...] = ()
    """What is merged into the transformer."""
    files: ModelFiles | None = None
    """Where it is from; ``None`` of sources that are no files."""
    light_vae: LightVAEFile | None = None
    """What decodes in the place of its autoencoder; ``None``: that does."""

    def __repr__(self) -> str:
        loras = f", {len(self.loras)} LoRA(s)" if self.loras else ""
        return f"AvatarCheckpoint({excerpt(self.config.name)}, {self.sources!r}{loras})"

    def packings(self) -> dict[str, Packing]:
        """Return how the files have matrices of the transformer's blocks packed, by parameter."""
        return self.dit_plan.packings(_BLOCKS)

    @property
    def is_infinite_talk(self) -> bool:
        """Whether the transformer's files are named as InfiniteTalk's."""
        return any(is_infinite_talk(source.name) for source in self.sources.dit)

    def with_lora(self, lora: LoraFile) -> AvatarCheckpoint:
        """Return this with one LoRA more; of the other files nothing is read again.

        Raises:
            WeightsError: See :func:`plan_loras`.
        """
        loras = (*self.loras, lora)
        return replace(self, dit_plan=_with_loras(self.dit_plan, loras), loras=loras)

    def with_light_vae(self, file: LightVAEFile | None) -> AvatarCheckpoint:
        """Return this with a light autoencoder beside its own; ``None`` is none."""
        return replace(self, light_vae=file)

    def load(
        self,
        kind: type[ModuleT],
        device: torch.device,
        dtype: torch.dtype,
        *,
        before_tensor: Callable[[], object] | None = None,
        hooks: Sequence[LayerHook[ModuleT]] = (),
        packed: bool = False,
    ) -> ModuleT:
        """Load one component.

        Args:
            kind: Its class, one of those of :class:`AvatarModels`; the files must have it.
            device: Of its parameters.
            dtype: Of its weights. On a CPU, where half precision is slow, encoders of text,
                image and audio stay in float32, and the autoencoder is never float16. The
                text encoder is float16 on no device.
            before_tensor: Called before each tensor is read; raises to stop. ``None`` does
                nothing.
            hooks: Called for each layer as it is read; see :func:`load_module`.
            packed: Whether a transformer's blocks stay packed as far as the files have them so.

        Returns:
            The component in evaluation mode, its parameters frozen.
        """
        part, plan = self._plan_of(kind)
        if packed and kind is AvatarDiT:
            plan = replace(plan, kept=self.packings())
        with about(part):
            return load_module(
                plan, device, _suited_dtype(kind, device, dtype), before_tensor, hooks
            )

    def files_of(self, kind: type[nn.Module]) -> tuple[Path, ...]:
        """Return the files of a component; none of what is no file, or is not there."""
        if kind is LightVAE:
            return () if self.light_vae is None else (self.light_vae.path,)
        sources: dict[type[nn.Module], Sources] = {
            AvatarDiT: self.sources.dit,
            VideoVAE: self.sources.vae,
            TextEncoder: self.sources.text,
            ClipVision: self.sources.clip,
            AudioEncoder: self.sources.audio,
        }
        return tuple(each.path for each in sources[kind] if isinstance(each, TensorFile))

    def parameter_bytes(
        self, kind: type[nn.Module], device: torch.device, dtype: torch.dtype
    ) -> int:
        """Return the bytes of a component's parameters as :meth:`load` reads them, unpacked."""
        _part, plan = self._plan_of(kind)
        with unfilled():
            count = sum(each.numel() for each in plan.build().parameters())
        return count * _suited_dtype(kind, device, dtype).itemsize

    def _plan_of(self, kind: type[ModuleT]) -> tuple[str, LoadPlan[ModuleT]]:
        plans: dict[type[nn.Module], tuple[str, LoadPlan[Any] | None]] = {
            AvatarDiT: ("dit", self.dit_plan),
            VideoVAE: ("vae", self.vae_plan),
            TextEncoder: ("text", self.text_plan),
            ClipVision: ("clip", self.clip_plan),
            AudioEncoder: ("audio", self.audio_plan),
            LightVAE: ("light_vae", None if self.light_vae is None else self.light_vae.plan),
        }
        plan: LoadPlan[ModuleT] | None
        part, plan = plans[kind]
        assert plan is not None, f"opened without {kind.__name__}"
        return part, plan


def open_avatar(model: str | Path, attention: Attention = sdpa) -> AvatarCheckpoint:
    """Find and check all files of a model; no weights are read.

    Files are there and whole, shards complete, every tensor known, none missing and none of
    another shape.

    Args:
        model: ``"tiny"``, or a folder in the authors' or the repackaged layout.
        attention: Kernel of the transformer.

    Raises:
        WeightsError: If a file is missing, damaged, unsafe, or belongs to another model.
    """
    return open_checkpoint(find_model_files(resolve_model(model)), attention)


def open_checkpoint(
    files: ModelFiles, attention: Attention = sdpa, loras: Sequence[LoraFile] = ()
) -> AvatarCheckpoint:
    """Check the files of a model that were found already; see :func:`open_avatar`.

    Args:
        files: What was found.
        attention: Kernel of the transformer.
        loras: What is merged into the transformer when it is loaded, in this order.
    """
    checkpoint = check_sources(open_files(files), attention, loras)
    warn_about_settings(files)
    return replace(checkpoint, files=files)


def check_sources(
    sources: ModelSources, attention: Attention = sdpa, loras: Sequence[LoraFile] = ()
) -> AvatarCheckpoint:
    """Check the sources of a model, which need not be files; see :func:`open_avatar`.

    Args:
        sources: Tensors of each part, and settings.
        attention: As for :func:`open_checkpoint`, as is the next.
        loras: What is merged into the transformer.

    Raises:
        WeightsError: If a tensor is missing, unknown or of another shape, or a setting not fit.
    """
    named = _published(sources)
    config = avatar_config(named)
    return AvatarCheckpoint(
        sources=sources,
        config=config,
        tokenizer=_load_tokenizer(sources, config),
        dit_plan=plan_transformer(named.dit, config, attention, loras),
        vae_plan=_plan("vae", partial(VideoVAE, config.vae), named.vae, VAE_KEYS),
        text_plan=_plan_text(named.text, config),
        clip_plan=_plan_clip(named.clip, config),
        audio_plan=_plan("audio", partial(AudioEncoder, config.audio), named.audio, AUDIO_KEYS),
        loras=tuple(loras),
    )


def _published(sources: ModelSources) -> ModelSources:
    """Return the sources under the authors' names, when each is known to be what it is for."""

    def named(part: Part, given: Sources) -> Sources:
        with about(part):
            check_sources_kind(part, given)
            return with_published_names(part, given)

    return replace(
        sources,
        dit=named("dit", sources.dit),
        vae=named("vae", sources.vae),
        text=named("text", sources.text),
        clip=named("clip", sources.clip),
        audio=named("audio", sources.audio),
    )


def _plan(
    part: str, build: Callable[[], ModuleT], sources: Sources, keys: KeyMap
) -> LoadPlan[ModuleT]:
    """Plan one component; errors are about ``part``."""
    with about(part):
        return plan_component(build, sources, keys)


def plan_transformer(
    sources: Sources,
    config: AvatarConfig,
    attention: Attention,
    loras: Sequence[LoraFile],
) -> LoadPlan[AvatarDiT]:
    """Plan a transformer of published names, with LoRAs merged into it."""
    plan = _plan("dit", partial(AvatarDiT, config.dit, attention), sources, DIT_KEYS)
    return _with_loras(plan, loras)


def _with_loras(plan: LoadPlan[AvatarDiT], loras: Sequence[LoraFile]) -> LoadPlan[AvatarDiT]:
    """Return the plan with these LoRAs and no others."""
    if not loras:
        return replace(plan, merge=None)
    shapes = {
        target.name: source.infos[mapping.name].shape
        for source, mappings in plan.sources
        for mapping in mappings
        for target in mapping.targets
    }
    with about("lora"):
        return replace(plan, merge=plan_loras(loras, shapes))


def _plan_text(sources: Sources, config: AvatarConfig) -> LoadPlan[TextEncoder] | None:
    if not sources:
        return None
    return _plan("text", partial(TextEncoder, config.text), sources, TEXT_KEYS)


def _plan_clip(sources: Sources, config: AvatarConfig) -> LoadPlan[ClipVision] | None:
    if not sources:
        return None
    keys = clip_keys(config.clip.num_layers)
    return _plan("clip", partial(ClipVision, config.clip), sources, keys)


def load_avatar(
    model: str | Path, device: torch.device | str, dtype: torch.dtype = torch.float32
) -> AvatarModels:
    """Load every component of a model.

    Args:
        model: ``"tiny"``, or a folder in the authors' or the repackaged layout.
        device: Of all of them.
        dtype: Of the weights; the encoders stay in float32 on a CPU.

    Raises:
        WeightsError: See :func:`open_avatar`; raised before any weight is read.
    """
    checkpoint = open_avatar(model)
    assert checkpoint.tokenizer is not None
    device = torch.device(device)
    return AvatarModels(
        config=checkpoint.config,
        dit=checkpoint.load(AvatarDiT, device, dtype),
        vae=checkpoint.load(VideoVAE, device, dtype),
        text_encoder=checkpoint.load(TextEncoder, device, dtype),
        tokenizer=checkpoint.tokenizer,
        clip=checkpoint.load(ClipVision, device, dtype),
        audio_encoder=checkpoint.load(AudioEncoder, device, dtype),
    )


def _suited_dtype(kind: type[nn.Module], device: torch.device, dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of a component of ``kind`` when ``dtype`` is requested."""
    if kind is AvatarDiT:
        return dtype
    if kind in AUTOENCODERS:
        # Its convolutions take fifty times as long in float16 there.
        is_slow = device.type == "cpu" and dtype == torch.float16
        return torch.float32 if is_slow else dtype
    if device.type == "cpu":
        return torch.float32
    # umT5's activations leave the range of float16.
    return torch.bfloat16 if kind is TextEncoder and dtype == torch.float16 else dtype


def _load_tokenizer(sources: ModelSources, config: AvatarConfig) -> Tokenizer | None:
    """Read the tokenizer's own file, or the one in the text encoder's source."""
    if not sources.text:
        return None
    with about("tokenizer"):
        return _read_tokenizer(sources, config)


def _read_tokenizer(sources: ModelSources, config: AvatarConfig) -> Tokenizer:
    text, path = sources.text[0], sources.tokenizer
    label = text.label if path is None else str(path)
    if path is None:
        tokenizer = _contained_tokenizer(text)
    elif path.suffix.lower() in SAFETENSORS:
        tokenizer = _contained_tokenizer(open_tensor_file(path))
    else:
        tokenizer = Tokenizer.from_file(path)
    num_tokens, known = tokenizer.vocab_size, config.text.vocab_size
    other = _OTHER_TOKENS.get(num_tokens, "") if known == _UMT5_ROWS else ""
    if num_tokens > known or other:
        whose = f", which is {other}" if other else ""
        raise WeightsError(
            f"{label}: {num_tokens} tokens{whose}, but the text encoder knows {known}; take the "
            "tokenizer of the same model"
        )
    return tokenizer


def _contained_tokenizer(source: TensorSource) -> Tokenizer:
    name = tokenizer_tensor(source.infos)
    if name is None:
        raise WeightsError(
            f"{source.label}: contains no tokenizer; choose umT5's spiece.model, or a text encoder "
            f"that contains it, of {PARTS['text'].published}"
        )
    with source.reading() as read:
        return Tokenizer.from_tensor(read(name), source.label)
