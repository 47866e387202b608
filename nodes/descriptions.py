"""What travels between the nodes: small immutable descriptions. The last node runs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from comfy.model_patcher import ModelPatcher
    from PIL.Image import Image
    from torch import Tensor

    from ..flashtalk_core.config import FastPaths
    from ..flashtalk_core.engine.memo import EncodingMemo
    from ..flashtalk_core.engine.memory_plan import MemoryChoice
    from ..flashtalk_core.engine.plan import RenderPlan
    from ..flashtalk_core.engine.request import PromptChange
    from ..flashtalk_core.media.picture import FitMode
    from ..flashtalk_core.media.sound import SoundInfo
    from ..flashtalk_core.weights.files import ModelFiles
    from ..flashtalk_core.weights.load import AvatarCheckpoint
    from ..flashtalk_core.weights.lora import LoraFile
    from .host.networks import ManagedNetworks


@dataclass(frozen=True)
class ModelDescription:
    """A checked model. Its weights live as long as this does, under ComfyUI's management."""

    checkpoint: AvatarCheckpoint
    device: torch.device
    dtype: torch.dtype
    attention: str
    paths: FastPaths
    memory: MemoryChoice
    networks: ManagedNetworks
    memo: EncodingMemo

    @property
    def patcher(self) -> ModelPatcher | None:
        """What ComfyUI takes this for when memory of the host gets short: a model."""
        return self.networks.largest


def describe_model(
    files: ModelFiles,
    device: torch.device,
    dtype: torch.dtype,
    attention: str,
    paths: FastPaths,
    memory: str = "auto",
    loras: Sequence[LoraFile] = (),
) -> ModelDescription:
    """Check the files of a model and describe it; no weights are read.

    Raises:
        FlashTalkError: If a file is damaged or of another model, or the attention kernel cannot
            run.
    """
    from ..flashtalk_core.engine.memo import EncodingMemo
    from ..flashtalk_core.engine.memory_plan import MemoryChoice
    from ..flashtalk_core.models.attention import choose_attention
    from ..flashtalk_core.weights.load import open_checkpoint
    from .host.networks import ManagedNetworks

    checkpoint = open_checkpoint(files, choose_attention(attention, device), loras)
    return ModelDescription(
        checkpoint=checkpoint,
        device=device,
        dtype=dtype,
        attention=attention,
        paths=paths,
        memory=MemoryChoice(memory, float8=paths.float8),
        networks=ManagedNetworks(checkpoint),
        memo=EncodingMemo(),
    )


@dataclass(frozen=True)
class SpeechDescription:
    """Measured sound, and how far the mouth is to move."""

    sound: SoundInfo
    mouth_strength: float


@dataclass(frozen=True)
class ReferenceDescription:
    """A portrait and what is to be seen."""

    picture: Image
    prompt: str
    """Empty for the model's own."""
    prompt_changes: tuple[PromptChange, ...]
    size_px: tuple[int, int] | None
    """Height and width; ``None`` is the model's own."""
    fit: FitMode
    context: Tensor | None
    clip_tokens: Tensor | None

    def __post_init__(self) -> None:
        from ..flashtalk_core.engine.request import check_changes

        check_changes(self.prompt_changes, self.context)


@dataclass(frozen=True)
class RenderDescription:
    """A whole video, ready to be drawn."""

    plan: RenderPlan
    model: ModelDescription

    @property
    def patcher(self) -> ModelPatcher | None:
        """See :attr:`ModelDescription.patcher`: this keeps the model alive as well."""
        return self.model.patcher
