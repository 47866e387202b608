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
    from ...flashtalk_core.runtime.limits import Limits

_OFFLOAD = torch.device("cpu")


class FleetPatcher(WholeModelPatcher):
    """Stands for what a process of a fleet holds on one device."""

    def __init__(self, fleet: Fleet, device: torch.device) -> None:
        """Hold nothing yet.

        Args:
            fleet: Whose process it is.
            device: Where.
        """
        super().__init__(nn.Module(), device, _OFFLOAD)
        self._fleet = fleet
        self.num_bytes = 0

    def model_size(self) -> int:
        """Return the bytes that a render takes on that device, 0 if it is not of the fleet."""
        return self.num_bytes

    def partially_load(self, device_to: torch.device, *_args: Any, **_kwargs: Any) -> int:
        """Take the place; the process reads the weights itself."""
        self.model.device = device_to
        self.model.model_loaded_weight_memory = self.num_bytes
        return self.num_bytes

    def detach(self, unpatch_all: bool = True) -> nn.Module:
        """Let all processes free their weights, on the other devices too, unless a render runs."""
        if unpatch_all:
            self._fleet.release()
            self.note_held()
        return self.model

    def note_held(self) -> None:
        """Hold what the processes do now, for ComfyUI to make room for the rest."""
        held = min(self._fleet.held_bytes(str(self.load_device)), self.num_bytes)
        self.model.model_loaded_weight_memory = held
        self.model.device = self.load_device if held else self.offload_device


class ManagedFleet:
    """The fleet of a model loader; its processes end when nothing refers to it any more."""

    def __init__(self, fleet: Fleet, limits: Limits | None = None, *, is_here: bool = True) -> None:
        """Start nothing yet.

        Args:
            fleet: What renders.
            limits: How long everything may take; ``None`` leaves it as it is.
            is_here: Whether its devices are of this host.
        """
        self._fleet = fleet
        self._limits = limits
        self._is_here = is_here
        main = management.get_torch_device()
        self._main = torch.device(main.type, main.index or 0) if main.type != "cpu" else main
        self.patchers = [FleetPatcher(fleet, device) for device in self._devices()]

    def __repr__(self) -> str:
        return f"ManagedFleet({self._fleet!r})"

    def engine_for(self, peak_bytes: int) -> Engine:
        """Return the engine; ComfyUI makes room on each of its devices.

        Args:
            peak_bytes: What a render takes on each device.
        """
        if self._limits is not None:
            self._fleet.set_limits(self._limits)
        members = self._members()
        for patcher in self.patchers:
            patcher.num_bytes = peak_bytes if patcher.load_device in members else 0
            patcher.note_held()
        management.load_models_gpu(self.patchers, memory_required=0, force_full_load=True)
        if self._is_here and not self._fleet.is_running:
            note_fleet(self._fleet)
        return self._fleet

    def _members(self) -> list[torch.device]:
        """Return the devices of this host that processes take memory of, each once."""
        names = dict.fromkeys(self._fleet.devices) if self._is_here else ()
        return [torch.device(name) for name in names]

    def _devices(self) -> list[torch.device]:
        """Return where ComfyUI is to know of the processes.

        Always on the device that it works on: older ones look for what /free frees there alone.
        """
        others = (each for each in self._members() if each.type != "cpu" and each != self._main)
        return [self._main, *others]
