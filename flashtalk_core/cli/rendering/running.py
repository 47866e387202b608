"""What runs a render of the command line, and shows how far it is."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...engine.events import RenderEvents
    from ...engine.plan import RenderPlan
    from ...engine.session import Engine
    from ...jobs.job import Job

logger = logging.getLogger(__name__)


def render_job(job: Job, plan: RenderPlan, step_limit_s: float | None = None) -> None:
    """Render what is missing of a job, with a progress bar.

    Args:
        job: The render.
        plan: Of its video.
        step_limit_s: How long a step on several devices may take; ``None`` is the usual.
    """
    from ...engine.events import EventHandlers
    from ..progress import Progress

    writer = job.writer
    if job.num_done:
        logger.info(
            "%s: %d frames are there, it goes on with chunk %d",
            writer.output.final,
            job.num_done,
            job.num_chunks_done + 1,
        )
    try:
        with ExitStack() as stack:
            assert writer.num_frames is not None, "the audio was measured"
            progress = Progress(writer.num_frames, plan.chunk, num_done=job.num_done)
            events = EventHandlers(
                ready=lambda: stack.enter_context(progress),
                frames=lambda frames: progress.add(len(frames)),
            )
            if job.is_rendered:
                job.put_together()
            else:
                engine = stack.enter_context(open_engine(plan, events, step_limit_s))
                job.render(engine, events)
        logger.info("wrote %s, %d frames", writer.output.final, writer.num_frames)
    except BaseException as error:
        writer.note_end(error)  # the file may be complete: a stop may come while that is reported
        raise


@contextmanager
def open_engine(
    plan: RenderPlan, events: RenderEvents, step_limit_s: float | None = None
) -> Iterator[Engine]:
    """Return what renders a plan; processes that it starts end with the context."""
    from ...engine.build import LocalEngine
    from ...placement.residency import CachedNetworks

    place = plan.placement
    if not place.devices and not place.cluster:
        yield LocalEngine(CachedNetworks(plan.checkpoint, place, events))
        return
    from ...runtime.fleet import Fleet
    from ...runtime.limits import Limits

    if place.cluster:
        from ...runtime.cluster.process import engine_at

        fleet = engine_at(place, step_limit_s)
    else:
        fleet = Fleet(place.devices, Limits(step_s=step_limit_s))
    try:
        yield fleet
    finally:
        fleet.close()
