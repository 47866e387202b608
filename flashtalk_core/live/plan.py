"""The plan of a session: a render of sound that is still to come."""

from __future__ import annotations

from dataclasses import replace

from ..engine.plan import RenderPlan
from ..engine.resolve import Inputs, LocalHost, resolve
from ..engine.spec import RenderSpec, Speaker
from ..errors import require
from ..excerpt import excerpt
from ..media.audio.info import AudioInfo
from .audio.sound import LiveSound


def plan_live(spec: RenderSpec, sound: LiveSound | None = None) -> RenderPlan:
    """Resolve a spec for sound that is live; its own speech is left out.

    Args:
        spec: Of the render.
        sound: What is heard; ``None`` is known later.

    Raises:
        FlashTalkError: If anything cannot be used; see :func:`resolve`.
    """
    require(
        len(spec.speakers) == 1,
        f"speakers {len(spec.speakers)}: a live session hears one; leave the masks out, and render "
        "two as a video",
        subject="speakers",
    )
    cluster = spec.placement.cluster
    require(
        not cluster,
        f"cluster {excerpt(cluster)}: live sound is drawn on devices of this host, since an engine "
        "of a cluster has one portrait at a time; leave the cluster out, and name one device or "
        "several",
        subject="cluster",
    )
    spec = replace(spec, speakers=(Speaker(),), start_s=0.0, duration_s=None)
    heard = AudioInfo.growing(sound or LiveSound())
    return resolve(spec, LocalHost(), Inputs(audio_inputs=(heard,)))
