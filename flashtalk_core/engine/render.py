"""A plan becomes a video file: the one loop behind the command line and the graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from torch import Tensor

from ..media.audio.probe import AnalysisStream
from ..media.video.encoder import PacketSink
from ..media.video.writer import Mp4Writer
from ..placement.provider import Residency
from .build import build_avatar
from .chunk import BeforeStep
from .encoding_cache import EncodingMemo
from .plan import RenderPlan
from .session import run_session


class FrameSink(Protocol):
    """Takes the frames of a render: a file, an encoder for viewers, both by one encoder."""

    def __enter__(self) -> object:
        """Open what the frames go to."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Complete the video, or keep what there is of it if the render was stopped."""
        ...

    def write(self, frames: Tensor) -> None:
        """Take the next frames, ``(f, H, W, 3)`` uint8."""
        ...


OnFrames = Callable[[Tensor], None]
"""Called with written frames, ``(f, H, W, 3)`` uint8."""


def open_writer(
    plan: RenderPlan,
    path: Path,
    *,
    crf: int,
    metadata: Mapping[str, str] | None = None,
    sinks: Sequence[PacketSink] = (),
) -> Mp4Writer:
    """Check that the video can be written; see :class:`Mp4Writer`."""
    return Mp4Writer(
        path,
        plan.request.size_px,
        plan.sound,
        plan.chunk.frame_rate_hz,
        crf=crf,
        chunk_frames=plan.chunk.num_new_frames,
        metadata=metadata,
        sinks=sinks,
    )


def describe(plan: RenderPlan) -> str:
    """Say for the file that its picture is generated, and how."""
    sampling = plan.request.sampling
    return (
        f"generated with {plan.checkpoint.config.name}, {sampling.steps} {sampling.rule} steps, "
        f"shift {sampling.shift:g}, seed {sampling.seed}"
    )


def render_video(
    plan: RenderPlan,
    sink: FrameSink,
    networks: Residency,
    *,
    memo: EncodingMemo | None = None,
    before_step: BeforeStep | None = None,
    on_ready: Callable[[], object] | None = None,
    on_frames: OnFrames | None = None,
) -> None:
    """Render a plan to the end of its sound, which may grow meanwhile.

    Args:
        plan: What to draw.
        sink: Gets the frames, from :func:`open_writer` for example; entered and left here.
        networks: Lends the networks.
        memo: Encodings made before; ``None`` makes all anew.
        before_step: Called before each denoising step; raises to stop. ``None`` does nothing.
        on_ready: Called when everything is loaded and the first chunk begins; or ``None``.
        on_frames: Called with frames once they are written; ``None`` to ignore them.

    Raises:
        FlashTalkError: If the request does not fit the model, or the file cannot be written.
            Whatever is raised, what was written into a file stays playable in the partial one.
    """
    rate_hz = plan.chunk.sample_rate_hz
    with sink, AnalysisStream(plan.sound, rate_hz) as samples:
        avatar = build_avatar(plan, samples, networks, memo=memo, before_step=before_step)
        if on_ready is not None:
            on_ready()
        for frames in run_session(avatar, plan.sound):
            sink.write(frames)
            if on_frames is not None:
                on_frames(frames)
