"""What runs a render of the command line, and shows how far it is."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ...engine.events import RenderEvents
    from ...engine.plan import Engine, RenderPlan
    from ..progress import Progress

logger = logging.getLogger(__name__)


class OpenEngine(Protocol):
    """Gives what renders a plan."""

    def __call__(self, plan: RenderPlan, events: RenderEvents) -> AbstractContextManager[Engine]:
        """Return the engine; processes that it starts end with the context."""
        ...


class RenderableJob(Protocol):
    """What is shown of a :class:`.jobs.job.Job`, and what runs it."""

    @property
    def num_frames(self) -> int | None:
        """Frames of the video; ``None`` until known."""
        ...

    @property
    def num_done(self) -> int:
        """Frames that are there already."""
        ...

    @property
    def num_chunks_done(self) -> int:
        """Chunks that are there already."""
        ...

    @property
    def path(self) -> Path:
        """The finished file."""
        ...

    def render(self, engine: Engine, events: RenderEvents) -> None:
        """Render what is missing."""
        ...

    def note_end(self, error: BaseException) -> None:
        """Add to what stopped it where its frames are."""
        ...


def shown_on(progress: Progress, stack: ExitStack) -> RenderEvents:
    """Return events that a progress bar shows, from the first chunk on until ``stack`` is left."""
    from ...engine.events import EventHandlers

    return EventHandlers(
        ready=lambda: stack.enter_context(progress),
        frames=lambda frames: progress.add(len(frames)),
    )


def render_job(job: RenderableJob, plan: RenderPlan, open_engine: OpenEngine) -> None:
    """Render what is missing of a job, with a progress bar.

    Args:
        job: The render.
        plan: Of its video.
        open_engine: Gives what renders it.
    """
    from ..progress import Progress

    if job.num_done:
        logger.info(
            "%s: %d frames are there, it goes on with chunk %d",
            job.path,
            job.num_done,
            job.num_chunks_done + 1,
        )
    try:
        with ExitStack() as stack:
            assert job.num_frames is not None, "the audio was measured"
            progress = Progress(job.num_frames, plan.chunk, num_done=job.num_done)
            events = shown_on(progress, stack)
            job.render(stack.enter_context(open_engine(plan, events)), events)
        logger.info("wrote %s, %d frames", job.path, job.num_frames)
    except BaseException as error:
        job.note_end(error)  # the file may be complete: a stop may come while that is reported
        raise
