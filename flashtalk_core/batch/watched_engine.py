"""Tells networks at work from files that are written: only of the former a limit of time is known.

Before its first new frame a render that goes on encodes the sound again, hours of it for a long
video, and at the end a file of gigabytes is copied. Neither reports anything meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..config.chunk import ChunkConfig
from ..engine.events import RenderEvents
from ..engine.plan import Engine, RenderPlan
from ..engine.state import ChunkSource, FrameGroup, SessionState
from ..geometry import ChunkSpan
from ..media.audio.source import SampleReader


@dataclass(frozen=True)
class WatchedEngine:
    """An engine that says when its frames go elsewhere, and when it goes on."""

    engine: Engine
    working: Callable[[bool], object]
    """Called with ``False`` when frames are handed on, and with ``True`` when more are asked for.

    That the first step begins is an event of the render."""

    @contextmanager
    def open(
        self, plan: RenderPlan, audio: SampleReader, events: RenderEvents
    ) -> Iterator[ChunkSource]:
        """Prepare a session; see :class:`.Engine`."""
        with self.engine.open(plan, audio, events) as source:
            yield _WatchedSource(source, self.working)


@dataclass(frozen=True)
class _WatchedSource:
    source: ChunkSource
    working: Callable[[bool], object]

    @property
    def chunk(self) -> ChunkConfig:
        return self.source.chunk

    @property
    def fingerprint(self) -> str:
        return self.source.fingerprint

    def generate(self, span: ChunkSpan, state: SessionState) -> Iterator[FrameGroup]:
        for group in self.source.generate(span, state):
            self.working(False)
            yield group
            self.working(True)
        self.working(False)
