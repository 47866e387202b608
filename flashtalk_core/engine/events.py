"""Events of a render, to watch, time or stop it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from ..placement.provider import LoadEvents
from .state import SessionState


class RenderEvents(LoadEvents, Protocol):
    """What a render reports, in order: loading, ready, then chunk after chunk.

    Loading is reported by the provider of the networks, the rest by the engine.

    Every method runs in the thread of the render, which waits for it and ignores what it returns.
    Any exception it raises ends the render, which is how a render is stopped on request: what
    was written stays playable. One that only displays something has to catch its own errors.
    """

    def ready(self) -> object:
        """Portrait and prompts are encoded, and the first chunk begins."""
        ...

    def step(self, step: int, /) -> object:
        """Denoising step ``step`` of a chunk, counted from 0, is about to run."""
        ...

    def stage(self, name: str, /) -> object:
        """Stage ``name`` of a chunk ends here; it began where the stage before it ended.

        In order: ``audio encoder``, ``motion encode``, ``audio projection``, ``noise``, ``step 1``
        and so on, then for each decoded group ``decode``, ``colour`` and, unless all of its frames
        are motion frames, ``to host``. A GPU may still be at work on it: the engine does not wait
        for the device on behalf of an event.
        """
        ...

    def frames(self, frames: Tensor, /) -> object:
        """Frames ``(f, H, W, 3)`` uint8 were written."""
        ...

    def state(self, state: SessionState, /) -> object:
        """A chunk is whole, and the next one would start from ``state``."""
        ...


def _ignore(*_args: object) -> None:
    """Do nothing."""


@dataclass(frozen=True, kw_only=True)
class EventHandlers:
    """:class:`RenderEvents` made of functions; those that are left out do nothing."""

    loading: Callable[[type[nn.Module]], object] = _ignore
    ready: Callable[[], object] = _ignore
    step: Callable[[int], object] = _ignore
    stage: Callable[[str], object] = _ignore
    frames: Callable[[Tensor], object] = _ignore
    state: Callable[[SessionState], object] = _ignore


NO_EVENTS: RenderEvents = EventHandlers()
"""Ignores every event."""
