"""The loop that renders a plan, shared by the command line and the graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Protocol, Self

from torch import Tensor

from ..media.audio.dialogue.analysis import open_analysis
from ..media.pixels import from_model_range
from ..stages.stage import MakeFrames
from .events import NO_EVENTS, RenderEvents
from .plan import Engine, RenderPlan
from .session import VideoLength, run_session
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


class StagedFrames:
    """Frames as they are encoded: those that are generated, or what the plan's stage makes of them.

    Use it as a context manager. One frame at a time leaves, and none that begins after the audio.
    """

    def __init__(self, plan: RenderPlan, state: SessionState | None = None) -> None:
        """Take what comes after ``state``; ``None`` is the start of the video."""
        self._stage = plan.stage
        self._length = VideoLength(plan.audio, plan.format.rate_hz)
        self._before: Tensor | None = None
        self._position = 0
        self._opened = ExitStack()
        self._make: MakeFrames | None = None
        if state is not None and state.motion_frames is not None:
            # Exactly the last frame that was encoded: both are made of the same values.
            self._before = from_model_range(state.motion_frames[0, :, -1]).permute(1, 2, 0).cpu()
            self._position = state.chunk_index * plan.format.chunk_frames

    def __enter__(self) -> Self:
        if self._stage is not None:
            self._make = self._opened.enter_context(self._stage.opened())
        return self

    def __exit__(self, *exception: object) -> None:
        self._opened.close()

    def frames(self, frames: Tensor) -> Iterator[Tensor]:
        """Yield what is encoded of generated frames ``(f, H, W, 3)`` uint8, of the same form."""
        if self._make is None:
            yield frames
            return
        for frame in frames:
            for made in self._make(self._before, frame):
                if self._length.has_frame(self._position):
                    yield made[None]
                self._position += 1
            self._before = frame.clone()  # the next group may take its memory


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
        open_analysis(plan.voices, rate_hz) as samples,
        engine.open(plan, samples, events) as source,
        # Last, as an engine of other processes looks for memory that has room for the stage, too.
        StagedFrames(plan, state) as staged,
    ):
        events.ready()
        groups = run_session(source, plan.audio, state, events)
        del state  # its frames are let go of after the first chunk
        for frames in groups:
            for each in staged.frames(frames):
                sink.write(each)
            events.frames(frames)
