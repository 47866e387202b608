"""Several devices under ComfyUI's management: its models make room, and /free frees theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import comfy.model_management as management
import torch
from torch import nn

from .devices import note_fleet
from .networks import WholeModelPatcher

if TYPE_CHECKING:
    from ...flashtalk_core.engine.plan import Engine
    from ...flashtalk_core.runtime.fleet import Fleet

_OFFLOAD = torch.device("cpu")


class FleetPatcher(WholeModelPatcher):
    """Stands for what the processes of a fleet hold on the device that ComfyUI works on."""

    def __init__(self, fleet: Fleet) -> None:
        """Hold nothing yet."""
        super().__init__(nn.Module(), management.get_torch_device(), _OFFLOAD)
        self._fleet = fleet
        self.num_bytes = 0

    def model_size(self) -> int:
        """Return the bytes that a render takes on that device, 0 if it is not of the fleet."""
        return self.num_bytes

    def partially_load(self, device_to: torch.device, *_args: Any, **_kwargs: Any) -> int:
        """Take the place; the processes read the weights themselves."""
        self.model.device = device_to
        self.model.model_loaded_weight_memory = self.num_bytes
        return self.num_bytes

    def detach(self, unpatch_all: bool = True) -> nn.Module:
        """Let all processes free their weights, unless a render runs."""
        if unpatch_all:
            self._fleet.release()
            self.forget()
        return self.model

    def forget(self) -> None:
        """Hold nothing, for ComfyUI to make room at the next loading."""
        self.model.model_loaded_weight_memory = 0
        self.model.device = self.offload_device


class ManagedFleet:
    """The fleet of a model loader; its processes end when nothing refers to it any more."""

    def __init__(self, fleet: Fleet, *, is_here: bool = True) -> None:
        """Start nothing yet.

        Args:
            fleet: What renders.
            is_here: Whether its devices are of this host.
        """
        self._fleet = fleet
        self._is_here = is_here
        self.patcher = FleetPatcher(fleet)

    def __repr__(self) -> str:
        return f"ManagedFleet({self._fleet!r})"

    def engine_for(self, peak_bytes: int) -> Engine:
        """Return the engine; ComfyUI makes room on the device that it works on.

        Args:
            peak_bytes: What a render takes on each device.
        """
        main = management.get_torch_device()
        index = main.index or 0
        names = (str(main), f"{main.type}:{index}")
        is_member = self._is_here and any(name in names for name in self._fleet.devices)
        self.patcher.num_bytes = peak_bytes if is_member else 0
        if not self._fleet.holds_weights:  # idle for long, or ended by a fault
            self.patcher.forget()
        management.load_models_gpu([self.patcher], memory_required=0, force_full_load=True)
        if self._is_here and not self._fleet.is_running:
            note_fleet(self._fleet)
        return self._fleet
