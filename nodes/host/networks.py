"""Networks under ComfyUI's model management: evicted when others need room, freed by /free."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import comfy.model_management as management
import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

from ...flashtalk_core.engine.plan import RenderPlan
from ...flashtalk_core.engine.residency import Placement
from ...flashtalk_core.engine.working_memory import working_bytes
from ...flashtalk_core.models.acceleration import accelerate
from ...flashtalk_core.weights.load import AvatarCheckpoint

N = TypeVar("N", bound=nn.Module)

OnRead = Callable[[type[nn.Module]], None]
"""Called with the class of a network before each of its tensors is read."""

_OFFLOAD = torch.device("cpu")
"""Where networks wait: never on a GPU, whose memory they would fill before room is made."""


class WholeModelPatcher(ModelPatcher):
    """A network that is on its device as a whole or not at all.

    ComfyUI's own patcher moves single layers, which works only for layers built from its
    operations.
    """

    def partially_load(self, device_to: torch.device, *_args: Any, **_kwargs: Any) -> int:
        """Move the whole network to ``device_to`` and return how many bytes that took."""
        if self.model.model_loaded_weight_memory:
            return 0
        try:
            self.patch_model(device_to)
        except BaseException:
            self.detach()  # what was moved before memory ran out is known to nobody else
            raise
        return int(self.model.model_loaded_weight_memory)

    def partially_unload(self, *_args: Any, **_kwargs: Any) -> int:
        """Free nothing, so that ComfyUI takes the whole network off."""
        return 0


class ManagedNetworks:
    """The networks of one model, read when they are first used.

    The weights are gone when nothing refers to this object any more: when ComfyUI drops the
    model loader's output from its cache, as it does for its own models.
    """

    def __init__(self, checkpoint: AvatarCheckpoint) -> None:
        """Read nothing yet."""
        self._checkpoint = checkpoint
        self._patchers: dict[type[nn.Module], ModelPatcher] = {}

    def lent_to(self, plan: RenderPlan, on_read: OnRead) -> ManagedResidency:
        """Return the networks as lent out to a render; see :class:`ManagedResidency`."""
        return ManagedResidency(self, plan, on_read)

    def patcher(self, kind: type[nn.Module], placement: Placement, on_read: OnRead) -> ModelPatcher:
        """Return the patcher of a network, reading its weights into memory of the host once."""
        device, dtype = placement.device_of(kind), placement.dtype
        patcher = self._patchers.get(kind)
        if patcher is None or patcher.load_device != device:
            self._patchers.pop(kind, None)
            # ComfyUI runs nodes in inference mode, but moves models outside of it too.
            with torch.inference_mode(False):
                network = self._checkpoint.load(
                    kind, _OFFLOAD, dtype, runs_on=device, before_tensor=lambda: on_read(kind)
                )
                accelerate(network, placement.paths_of(kind), device)
            patcher = self._patchers[kind] = WholeModelPatcher(network, device, _OFFLOAD)
        return patcher

    @property
    def largest(self) -> ModelPatcher | None:
        """The patcher of the largest network in memory, ``None`` before the first use."""
        return max(self._patchers.values(), key=lambda found: found.model_size(), default=None)

    def free(self, kind: type[nn.Module]) -> None:
        """Forget a network wherever it is."""
        self._patchers.pop(kind, None)


class ManagedResidency:
    """:class:`Residency` of the core on top of ComfyUI's model management."""

    def __init__(self, networks: ManagedNetworks, plan: RenderPlan, on_read: OnRead) -> None:
        """Lend ``networks`` where ``plan`` places them.

        Args:
            networks: The networks of the plan's model.
            plan: What they draw.
            on_read: Called before each tensor is read; raises to stop.
        """
        self._networks = networks
        self._plan = plan
        self._on_read = on_read
        self._lent: list[ModelPatcher] = []

    @contextmanager
    def use(self, kind: type[N]) -> Iterator[N]:
        """Lend a network on its device; ComfyUI makes room for it."""
        patcher = self._networks.patcher(kind, self._plan.placement, self._on_read)
        self._lent.append(patcher)
        try:
            # With those that are lent out already, so that none of them is evicted for this one.
            management.load_models_gpu(
                self._lent,
                memory_required=working_bytes(kind, self._plan),
                force_full_load=True,
            )
            yield cast("N", patcher.model)
        finally:
            self._lent.remove(patcher)

    def free(self, kind: type[nn.Module]) -> None:
        """Forget a network; the next use reads its weights anew."""
        self._networks.free(kind)
