"""Where networks run, in which dtype and execution mode."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from ..acceleration.kernel_options import Exchange, KernelOptions
from ..acceleration.support import is_supported
from ..models.vae.light_vae import AUTOENCODERS
from ..parallel.bands import VaeGrid, choose_grid
from ..quantization.fp8 import choose_format
from ..quantization.linear_format import LinearFormat
from .division import ONE_DEVICE, Division
from .memory_plan import WHOLE, MemoryPlan


@dataclass(frozen=True)
class Placement:
    """Where networks run, and in which dtype."""

    device: torch.device
    dtype: torch.dtype
    vae_device: torch.device | None = None
    """Where the autoencoder runs; ``None`` is where the others do."""
    kernel_options: KernelOptions = field(default_factory=KernelOptions.eager)
    """How they execute: eager, fused or compiled."""
    memory: MemoryPlan = WHOLE
    """How much of the model stays on its device, and whether it is in FP8."""
    devices: tuple[str, ...] = ()
    """Devices that render together, a process for each; ``device`` is the first of them. Empty:
    ``device`` renders, in this process."""
    cluster: str = ""
    """Address of a Ray cluster that renders, on such a device or so many; empty: this host."""
    vae_devices: tuple[int, ...] = ()
    """Devices that share the autoencoder, by number, in ascending order; empty is all."""
    vae_grid: str = "auto"
    """How they share it; see :func:`.choose_grid`."""
    exchange: Exchange = "collectives"
    """What exchanges tokens between the devices."""
    ring: int = 1
    """Degree of Ring among the devices; Ulysses has what it leaves."""

    @property
    def num_devices(self) -> int:
        """Devices of the render."""
        return max(1, len(self.devices))

    @property
    def local_devices(self) -> tuple[str, ...]:
        """Those of :attr:`devices` that this host has; a cluster's may be more than it has."""
        return () if self.cluster else self.devices

    def grid(self, size_px: tuple[int, int]) -> VaeGrid:
        """Return how frames of a size are divided among the devices.

        Raises:
            InvalidInputError: If there are fewer devices than bands.
        """
        ranks = len(self.vae_devices) or self.num_devices
        return choose_grid(self.vae_grid, size_px, ranks)

    def division(self, size_px: tuple[int, int]) -> Division:
        """Return how a render at a size is divided among the devices; see :meth:`grid`."""
        if not self.devices:
            return ONE_DEVICE
        return Division(self.num_devices, self.grid(size_px))

    @property
    def linear_format(self) -> LinearFormat:
        """Format of the transformer's large linear layers."""
        return choose_format(float8=self.memory.float8)

    def device_of(self, kind: type[nn.Module]) -> torch.device:
        """Return where a network of class ``kind`` runs."""
        return self.vae_device or self.device if kind in AUTOENCODERS else self.device

    def kernel_options_of(self, kind: type[nn.Module]) -> KernelOptions:
        """Return the kernel options of a network of class ``kind``.

        They were chosen for the device that most networks run on; another one may not support them.
        """
        device = self.device_of(kind)
        if device == self.device:
            return self.kernel_options
        has_kernels = device.type == self.device.type and is_supported(self.kernel_options, device)
        return self.kernel_options if has_kernels else KernelOptions.eager()
