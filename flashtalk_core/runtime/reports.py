"""What ranks report, as events of the process that renders."""

from __future__ import annotations

from torch import nn

from ..engine.events import RenderEvents
from ..models.encoders.audio import AudioEncoder
from ..models.encoders.clip_vision import ClipVision
from ..models.encoders.text import TextEncoder
from ..models.transformer.model import AvatarDiT
from ..models.vae.light_vae import AUTOENCODERS
from .limits import StepClock
from .messages import Loading, Report, Stage, Step

_NETWORKS: dict[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in (AvatarDiT, *AUTOENCODERS, TextEncoder, ClipVision, AudioEncoder)
}


def pass_on(report: Report, events: RenderEvents, clock: StepClock | None = None) -> None:
    """Let the events of this process know; they may raise to stop."""
    if isinstance(report, Loading):
        events.loading(_NETWORKS[report.network])
    elif isinstance(report, Step):
        if clock is not None:
            clock.note(is_first=report.step == 0)
        events.step(report.step)
    elif isinstance(report, Stage):
        events.stage(report.name)
