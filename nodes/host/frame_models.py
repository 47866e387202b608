"""ComfyUI's upscaling and interpolation models as stages of the core take them.

Axis legend: H W pixels of a frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import comfy.model_management as management
import torch
from torch.nn.functional import pad

from ...flashtalk_core.errors import require
from ...flashtalk_core.stages.interpolation import InterpolateStage
from ...flashtalk_core.stages.stage import FrameStage, weight_bytes_of, weights_digest
from ...flashtalk_core.stages.upscaling import UpscaleStage
from .networks import WholeModelPatcher

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher
    from torch import Tensor

    from ...flashtalk_core.stages.interpolation import Between
    from ...flashtalk_core.stages.upscaling import Upscale

_COLOURS = 3


@dataclass(frozen=True)
class ManagedModel:
    """A model that ComfyUI brings to its device."""

    patcher: ModelPatcher
    identity: str

    @property
    def weight_bytes(self) -> int:
        """Device memory of its weights."""
        return weight_bytes_of(self.patcher.model)

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.patcher.load_device

    def load(self) -> None:
        """Bring it to its device; a render asks for it again with its own networks."""
        management.load_models_gpu([self.patcher], memory_required=0, force_full_load=True)


@dataclass(frozen=True)
class ManagedUpscaler(ManagedModel):
    """An UPSCALE_MODEL; :class:`~.stages.upscaling.Upscaler` of the core."""

    descriptor: Any
    """Spandrel's, a function of an image."""

    def __repr__(self) -> str:
        return f"ManagedUpscaler(x {self.scale} on {self.device})"

    @property
    def scale(self) -> int:
        """How much larger it makes images."""
        return int(self.descriptor.scale)

    @contextmanager
    def opened(self) -> Iterator[Upscale]:
        """Have it on its device."""
        self.load()
        yield self.descriptor


@dataclass(frozen=True)
class ManagedInterpolator(ManagedModel):
    """An INTERP_MODEL; :class:`~.stages.interpolation.Interpolator` of the core."""

    def __repr__(self) -> str:
        return f"ManagedInterpolator({type(self.patcher.model).__name__} on {self.device})"

    def work_bytes(self, size_px: tuple[int, int]) -> int:
        """Return ComfyUI's own estimate for a frame."""
        model = self.patcher.model
        return int(model.memory_used_forward((1, *size_px, _COLOURS), model.get_dtype()))

    @contextmanager
    def opened(self) -> Iterator[Between]:
        """Have it on its device."""
        self.load()
        yield self._between

    def _between(self, first: Tensor, second: Tensor) -> Tensor:
        model, (height, width) = self.patcher.model, first.shape[-2:]
        align = getattr(model, "pad_align", 1)
        pair = [_padded(each.to(model.get_dtype()), align) for each in (first, second)]
        features = {f"img{index}": model.extract_features(each) for index, each in enumerate(pair)}
        several = getattr(model, "forward_multi_timestep", None)
        if several is not None:
            middle = several(*pair, [0.5], cache=features)
        else:
            half = pair[0].new_full((1, 1, *pair[0].shape[-2:]), 0.5)
            middle = model(*pair, timestep=half, cache=features)
        return middle[..., :height, :width]


def upscaler_of(model: Any) -> ManagedUpscaler:
    """Return an UPSCALE_MODEL as the core takes it.

    Raises:
        InvalidInputError: If it does not make one colour image of one.
    """
    channels = [getattr(model, f"{side}_channels", None) for side in ("input", "output")]
    require(
        callable(model) and channels == [_COLOURS, _COLOURS] and hasattr(model, "scale"),
        f"upscaling model: {type(model).__name__} does not make one colour image of one; connect "
        "Load Upscale Model with an upscaler such as ESRGAN, SwinIR or DAT",
        subject="upscale",
    )
    # Before 0.23 ComfyUI's loader made none.
    patcher = getattr(model, "patcher", None) or WholeModelPatcher(
        model.model, management.get_torch_device(), torch.device("cpu")
    )
    return ManagedUpscaler(patcher, weights_digest(model.model), model)


def interpolator_of(patcher: Any) -> ManagedInterpolator:
    """Return an INTERP_MODEL as the core takes it.

    Raises:
        InvalidInputError: If it does not do what ComfyUI's own do.
    """
    model = getattr(patcher, "model", None)
    needed = ("extract_features", "memory_used_forward", "get_dtype")
    require(
        all(hasattr(model, name) for name in needed),
        f"interpolation model: {type(model).__name__} is none of ComfyUI's own; connect Load Frame "
        "Interpolation Model with RIFE or FILM",
        subject="interpolation",
    )
    return ManagedInterpolator(patcher, weights_digest(patcher.model))


def stages_of(upscale_model: Any, interp_model: Any, scale: float | None) -> list[FrameStage]:
    """Return the stages of ComfyUI's models, each ``None`` where there is none, in their order.

    Args:
        upscale_model: An UPSCALE_MODEL.
        interp_model: An INTERP_MODEL.
        scale: How much larger frames become; ``None`` is what the model does.

    Raises:
        InvalidInputError: If one of them cannot be used, or ``scale`` is given without an
            upscaling model.
    """
    require(
        upscale_model is not None or scale is None,
        f"upscaling by {scale}: no upscaling model is given; connect one, or set 0",
        subject="upscale_by",
    )
    stages: list[FrameStage] = []
    if interp_model is not None:
        stages.append(InterpolateStage(interpolator_of(interp_model)))
    if upscale_model is not None:
        stages.append(UpscaleStage(upscaler_of(upscale_model), scale))
    return stages


def _padded(planes: Tensor, align: int) -> Tensor:
    """Fill up to multiples of ``align`` by a mirror image, as ComfyUI does; else by the border."""
    height, width = planes.shape[-2:]
    more = (0, -width % align, 0, -height % align)
    is_mirrored = more[1] < width and more[3] < height
    return pad(planes, more, mode="reflect" if is_mirrored else "replicate")
