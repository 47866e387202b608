"""Renders of this process, one after another: networks and encodings stay for the next one."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import torch

from ..engine.build import LocalEngine
from ..engine.encoding_cache import EncodingMemo
from ..engine.events import EventHandlers
from ..engine.plan import Engine, RenderPlan
from ..engine.resolve import LocalHost
from ..engine.spec import RenderSpec
from ..jobs.job import render_file
from ..placement.place import Placement
from ..placement.residency import CachedNetworks
from .check import Models
from .outputs import make_folder
from .rows import BatchRow, RowEvents, model_key
from .watched_engine import WatchedEngine

_ENCODINGS = 64
"""Prompts and portraits that stay encoded, a few MB each."""


class ClosableEngine(Engine, Protocol):
    """An engine with processes elsewhere."""

    def close(self) -> None:
        """End them."""
        ...


class BatchHost(LocalHost):
    """This machine, whose memory that this process holds is free for the next row."""

    def free_bytes(self, device: torch.device) -> int | None:
        """Return the memory that a row may use: networks of another model go before it starts."""
        if device.type != "cuda":
            return None
        free, _total = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device))


class RowRenderer:
    """Renders in this process, and reads no weights for a row with the model of the one before.

    It is a :class:`.rows.Renderer`.
    """

    def __init__(
        self,
        place: Callable[[RenderSpec], RenderSpec],
        open_cluster: Callable[[Placement], ClosableEngine],
    ) -> None:
        """Read nothing yet.

        Args:
            place: Returns a spec as it is rendered here: with the device of this worker.
            open_cluster: Returns the engine of a placement in a cluster.
        """
        self._models = Models(BatchHost())
        self._place = place
        self._open_cluster = open_cluster
        self._engine: Engine | None = None
        self._engine_key: object = None
        self._elsewhere: ClosableEngine | None = None

    def render(self, row: BatchRow, events: RowEvents) -> int:
        """Render a row into its file; return its frames.

        Raises:
            FlashTalkError: If it cannot be rendered; see :func:`.jobs.job.render_file`.
        """
        spec = self._place(row.spec)
        plan = self._models.plan(spec)
        make_folder(row.output)
        handlers = EventHandlers(
            step=lambda _step: events.working(True),
            frames=lambda frames: events.frames(len(frames)),
        )
        return render_file(
            plan,
            spec,
            row.output,
            WatchedEngine(self._engine_for(spec, plan), events.working),
            crf=row.crf,
            events=handlers,
            resumed=events.resumed,
        )

    def forget(self) -> None:
        """Free all networks, after an error for example; the next row reads them again."""
        self._engine = self._engine_key = None
        if self._elsewhere is not None:
            self._elsewhere.close()
            self._elsewhere = None
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()

    def _engine_for(self, spec: RenderSpec, plan: RenderPlan) -> Engine:
        key = model_key(spec), _as_loaded(plan.placement)
        if self._engine is None or key != self._engine_key:
            self.forget()  # before the next networks take its memory
            self._engine = self._make_engine(plan)
            self._engine_key = key
        return self._engine

    def _make_engine(self, plan: RenderPlan) -> Engine:
        place = plan.placement
        if not place.cluster:
            networks = CachedNetworks(plan.checkpoint, place)
            return LocalEngine(networks, EncodingMemo(_ENCODINGS))
        self._elsewhere = self._open_cluster(place)
        return self._elsewhere


def _as_loaded(place: Placement) -> Placement:
    """Return what of a placement decides how networks are loaded: no counts of this render."""
    return replace(place, memory=replace(place.memory, peak_bytes=0, reason=""))
