"""Networks under ComfyUI's model management: evicted when others need room, freed by /free."""

from __future__ import annotations

import gc
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar, cast

import comfy.model_management as management
import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

from ...flashtalk_core.acceleration.apply import release_graphs, set_graph
from ...flashtalk_core.engine.events import RenderEvents
from ...flashtalk_core.engine.plan import RenderPlan, working_bytes
from ...flashtalk_core.models.encoders.audio import AudioEncoder
from ...flashtalk_core.models.transformer.model import AvatarDiT
from ...flashtalk_core.models.vae.light_vae import AUTOENCODERS, LightVAE
from ...flashtalk_core.models.vae.model import VideoVAE
from ...flashtalk_core.offload.tensors import Offload, synchronize
from ...flashtalk_core.placement.ahead.reading import NETWORKS, NetworksAhead
from ...flashtalk_core.placement.load import load_network
from ...flashtalk_core.placement.place import Placement
from ...flashtalk_core.stages.stage import FrameStage, StageChain
from ...flashtalk_core.weights.load import AvatarCheckpoint, LightVAEFile

N = TypeVar("N", bound=nn.Module)

_HOST = torch.device("cpu")
_NOWHERE = torch.device("meta")
"""Where a whole network goes that is evicted. It is read again, from files that the system keeps in
memory as long as there is room: to move 38 GB to the host took longer, and took them twice."""
_OF_EVERY_CHUNK = (AvatarDiT, VideoVAE, LightVAE, AudioEncoder)


class WholeModelPatcher(ModelPatcher):
    """A network that is on its device as a whole or not at all.

    ComfyUI's own patcher moves single layers, which works only for layers built from its
    operations.
    """

    def arrive(self, device: torch.device) -> None:
        """Take note that the network is on ``device``, where it was read to or moved to."""
        self.model.device = device
        self.model.model_loaded_weight_memory = self.model_size()

    def partially_load(self, device_to: torch.device, *_args: Any, **_kwargs: Any) -> int:
        """Move the whole network to ``device_to`` and return how many bytes that took."""
        if self.model.model_loaded_weight_memory:
            return 0
        try:
            self.patch_model(device_to)
        except BaseException:
            self.detach()  # nothing else knows what was moved before memory ran out
            raise
        return int(self.model.model_loaded_weight_memory)

    def partially_unload(self, *_args: Any, **_kwargs: Any) -> int:
        """Free nothing, so that ComfyUI takes the whole network off."""
        return 0

    def detach(self, unpatch_all: bool = True) -> nn.Module:
        """Take the network off its device, and free what recordings of it take there."""
        if unpatch_all:
            release_graphs(self.model)
        return cast("nn.Module", super().detach(unpatch_all))


class StreamedModelPatcher(WholeModelPatcher):
    """A network of which only some layers stay on the device; the core moves the others.

    The size reported to ComfyUI is what stays, including the buffers that the others pass through.
    """

    def __init__(
        self, model: nn.Module, offload: Offload, device: torch.device, offload_device: torch.device
    ) -> None:
        """Take over a network that is on its device already."""
        super().__init__(model, device, offload_device)
        self._offload = offload
        self.arrive(device)

    def model_size(self) -> int:
        """Return the bytes that stay on the device."""
        return self._offload.device_bytes

    def partially_load(self, device_to: torch.device, *_args: Any, **_kwargs: Any) -> int:
        """Bring what stays to ``device_to`` and return how many bytes that took."""
        if self.model.model_loaded_weight_memory:
            return 0
        self._offload.move_to(device_to)
        self.arrive(device_to)
        return int(self.model.model_loaded_weight_memory)

    def detach(self, unpatch_all: bool = True) -> nn.Module:
        """Move what stays to the host, and give the buffers back."""
        if unpatch_all:
            self._offload.move_to(self.offload_device)
            self.model.model_loaded_weight_memory = 0
            self.model.device = self.offload_device
        return cast("nn.Module", self.model)


class ManagedNetworks:
    """The networks of one model, read when they are first used.

    The weights are gone when nothing refers to this object any more: when ComfyUI drops the
    model loader's output from its cache, as it does for its own models.
    """

    def __init__(self, checkpoint: AvatarCheckpoint, shared: ManagedNetworks | None = None) -> None:
        """Read nothing yet.

        Args:
            checkpoint: The model's files.
            shared: Those of a model with the same files whose transformer alone is another, as
                with other LoRAs: the others are its own. ``None``: of no model.
        """
        self._checkpoint = checkpoint
        self._shared = shared
        self._patchers: dict[type[nn.Module], ModelPatcher] = {}
        self._placements: dict[type[nn.Module], Placement] = {}
        self._ahead = NetworksAhead()

    def __repr__(self) -> str:
        read = ", ".join(kind.__name__ for kind in self._patchers)
        return f"ManagedNetworks({read or 'none'} in memory)"

    def residency_for(self, plan: RenderPlan, events: RenderEvents) -> ManagedResidency:
        """Return the networks as a render acquires them; see :class:`ManagedResidency`."""
        return ManagedResidency(self, plan, events)

    def patcher(
        self,
        kind: type[nn.Module],
        placement: Placement,
        events: RenderEvents,
        light_vae: LightVAEFile | None = None,
        kept: Sequence[ModelPatcher] = (),
    ) -> ModelPatcher:
        """Return the patcher of a network, reading its weights where it is not in memory.

        Args:
            kind: Class of the network.
            placement: Where it runs, and how much of it stays there; with another one than
                before, the weights are read again.
            events: Gets the loading of each tensor.
            light_vae: File of a light autoencoder, which is chosen behind the model's loader.
            kept: What is not evicted for it.
        """
        if self._shared is not None and kind is not AvatarDiT:
            return self._shared.patcher(kind, placement, events, light_vae, kept)
        if kind is LightVAE:
            self._take(light_vae)
        if kind in self._patchers and not self._serves(kind, placement):
            self.release(kind)
        if kind not in self._patchers:
            self._ahead.begin(self._checkpoint, kind, self._there())
            # ComfyUI runs nodes in inference mode, but moves models outside of it too.
            with torch.inference_mode(False):
                self._patchers[kind] = self._read(kind, placement, events, kept)
            self._placements[kind] = placement
        self._follow_graph(kind, placement)
        return self._patchers[kind]

    def _there(self) -> Collection[type[nn.Module]]:
        """Return the networks that a render need not read."""
        if self._shared is None:
            return self._patchers
        return {*self._patchers, *(kind for kind in NETWORKS if kind is not AvatarDiT)}

    def _take(self, light_vae: LightVAEFile | None) -> None:
        """Forget a light autoencoder of another file."""
        before = self._checkpoint.light_vae
        if light_vae is None or before is None or light_vae.plan != before.plan:
            self.release(LightVAE)
            self._checkpoint = self._checkpoint.with_light_vae(light_vae)

    def _follow_graph(self, kind: type[nn.Module], placement: Placement) -> None:
        """Record as the plan of this render has it: its size, or the free memory, may differ."""
        found, graph = self._placements[kind], placement.memory.graph
        if found.memory.graph != graph:
            set_graph(self._patchers[kind].model, graph, placement.device_of(kind))
            memory = replace(found.memory, graph=graph)
            self._placements[kind] = replace(found, memory=memory)

    def _serves(self, kind: type[nn.Module], placement: Placement) -> bool:
        """Whether what was read of a network is there still, and serves ``placement``."""
        is_there = self._patchers[kind].current_loaded_device() != _NOWHERE
        return is_there and _is_alike(kind, placement, self._placements[kind])

    def _read(
        self,
        kind: type[nn.Module],
        placement: Placement,
        events: RenderEvents,
        kept: Sequence[ModelPatcher],
    ) -> ModelPatcher:
        device = placement.device_of(kind)
        if device.type != "cpu":
            # It is read to where it runs, so that room is made first: on the host it would take
            # its size as well, and what is stored in FP8 would be converted by the processor.
            loaded_models = management.current_loaded_models
            keep_loaded = [entry for entry in loaded_models if entry.model in kept]
            management.free_memory(self._room_for(kind, placement), device, keep_loaded)
        loaded = load_network(self._checkpoint, placement, kind, events=events)
        if loaded.offload is not None:
            return StreamedModelPatcher(loaded.network, loaded.offload, device, _HOST)
        patcher = WholeModelPatcher(loaded.network, device, _NOWHERE)
        patcher.arrive(device)
        return patcher

    def _room_for(self, kind: type[nn.Module], placement: Placement) -> int:
        peak_bytes = placement.memory.peak_bytes
        if placement.memory.num_resident is not None:
            return peak_bytes
        whole = self._checkpoint.parameter_bytes(kind, placement.device_of(kind), placement.dtype)
        return min(whole, peak_bytes) if peak_bytes else whole

    def memory_reason(self, placement: Placement) -> str:
        """Return in a line what a render at ``placement`` finds on its device; see `MemoryPlan`."""
        reason = placement.memory.reason
        found = self._placements[AvatarDiT] if AvatarDiT in self._patchers else placement
        kept = found.memory.num_resident
        is_kept = _is_alike(AvatarDiT, placement, found)
        if not reason or not is_kept or kept in (None, placement.memory.num_resident):
            return reason
        return (
            f"{kept} of {self._checkpoint.config.dit.num_layers} blocks, as they were read while "
            f"less of it was free; now there is room for {reason}"
        )

    @property
    def largest(self) -> ModelPatcher | None:
        """The patcher of the largest network in memory, ``None`` before the first use."""
        shared = None if self._shared is None else self._shared.largest
        found = [*self._patchers.values(), *([] if shared is None else [shared])]
        return max(found, key=lambda each: each.model_size(), default=None)

    def release(self, kind: type[nn.Module]) -> None:
        """Forget a network wherever it is."""
        if self._shared is not None and kind is not AvatarDiT:
            self._shared.release(kind)
            return
        if isinstance(self._patchers.pop(kind, None), StreamedModelPatcher):
            synchronize(self._placements[kind].device_of(kind))
            gc.collect()  # it and what moves its weights refer to each other


class ManagedResidency:
    """:class:`Residency` of the core on top of ComfyUI's model management."""

    def __init__(self, networks: ManagedNetworks, plan: RenderPlan, events: RenderEvents) -> None:
        """Provide ``networks`` where ``plan`` places them.

        Args:
            networks: The networks of the plan's model.
            plan: What they render.
            events: Gets the loading of each tensor; may raise to stop.
        """
        self._networks = networks
        self._plan = plan
        self._events = events
        self._acquired = _patchers_of(plan.stage)  # which run while frames are decoded
        self._kept: dict[type[nn.Module], ModelPatcher] = {}

    @contextmanager
    def acquire(self, kind: type[N]) -> Iterator[N]:
        """Hold a network on its device; ComfyUI makes room for it.

        Not by evicting another one of every chunk: with ``--disable-smart-memory`` it would
        evict all others each time, and each would be read again in every chunk.
        """
        plan = self._plan
        light_vae = plan.checkpoint.light_vae
        beside = self._beside(kind)
        patcher = self._networks.patcher(kind, plan.placement, self._events, light_vae, beside)
        self._acquired.append(patcher)
        if kind in _OF_EVERY_CHUNK:
            self._kept[kind] = patcher
        try:
            management.load_models_gpu(
                [*beside, patcher],
                memory_required=working_bytes(kind, self._plan),
                force_full_load=True,
            )
            yield cast("N", patcher.model)
        finally:
            self._acquired.remove(patcher)

    def _beside(self, kind: type[nn.Module]) -> list[ModelPatcher]:
        """Return what is on its device and stays there while another network is acquired."""
        if kind not in _OF_EVERY_CHUNK:
            return list(self._acquired)
        kept = (each for other, each in self._kept.items() if other is not kind)
        return [*self._acquired, *(each for each in kept if each.loaded_size())]

    def release(self, kind: type[nn.Module]) -> None:
        """Forget a network; the next :meth:`acquire` reads its weights again."""
        self._kept.pop(kind, None)
        self._networks.release(kind)


def _patchers_of(stage: FrameStage | None) -> list[ModelPatcher]:
    """Return ComfyUI's models of a stage."""
    stages = stage.stages if isinstance(stage, StageChain) else (stage,)
    networks = (getattr(each, "network", None) for each in stages)
    return [each.patcher for each in networks if hasattr(each, "patcher")]


def _is_alike(kind: type[nn.Module], wanted: Placement, found: Placement) -> bool:
    """Whether a network that was read for one placement serves another."""
    ours, theirs = wanted.memory, found.memory
    if wanted.device_of(kind) != found.device_of(kind):
        return False
    if kind is AvatarDiT:
        # Fewer blocks than fit give the same image, and cost less than reading the weights again.
        room, kept = (
            sys.maxsize if each.num_resident is None else each.num_resident
            for each in (ours, theirs)
        )
        is_same = (ours.float8, ours.packed) == (theirs.float8, theirs.packed)
        return is_same and kept <= room
    return kind not in AUTOENCODERS or ours.row_tiles == theirs.row_tiles
