"""The loop that renders a plan, shared by the command line and the graph."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from torch import Tensor

from ..media.audio.probe import AnalysisStream
from .events import NO_EVENTS, RenderEvents
from .plan import Engine, RenderPlan
from .session import run_session
from .state import SessionState


class FrameSink(Protocol):
    """Takes the frames of a render: a file, an encoder for viewers, both by one encoder."""

    def __enter__(self) -> object:
        """Open the destination of the frames."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Complete the video, or keep the part that was written if the render was stopped."""
        ...

    def write(self, frames: Tensor) -> None:
        """Take the next frames, ``(f, H, W, 3)`` uint8."""
        ...


def describe(plan: RenderPlan) -> str:
    """Return the note in the file that its images are generated, and how."""
    sampling = plan.request.sampling
    return (
        f"generated with {plan.checkpoint.config.name}, {sampling.steps} {sampling.rule} steps, "
        f"shift {sampling.shift:g}, seed {sampling.seed}"
    )


def render_video(
    plan: RenderPlan,
    sink: FrameSink,
    engine: Engine,
    *,
    events: RenderEvents = NO_EVENTS,
    state: SessionState | None = None,
) -> None:
    """Render a plan to the end of its audio, which may grow meanwhile.

    Args:
        plan: Of the video.
        sink: Receives the frames, from :func:`open_writer` for example; entered and left here.
        engine: Generates the chunks.
        events: Receives what happens; may raise to stop.
        state: Where to continue; ``sink`` has the frames before. ``None`` is the start.

    Raises:
        FlashTalkError: If the request does not fit the model, or the file cannot be written.
            Whatever is raised, what was written into a file stays playable in the partial one.
    """
    rate_hz = plan.chunk.sample_rate_hz
    with (
        sink,
        AnalysisStream(plan.audio, rate_hz) as samples,
        engine.open(plan, samples, events) as source,
    ):
        events.ready()
        groups = run_session(source, plan.audio, state, events)
        del state  # its frames are let go of after the first chunk
        for frames in groups:
            sink.write(frames)
            events.frames(frames)
