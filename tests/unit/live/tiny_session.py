"""The bundled model in a live session in virtual time."""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch

from flashtalk_core.engine.build import LocalEngine
from flashtalk_core.engine.encoding_cache import EncodingMemo
from flashtalk_core.engine.resolve import Inputs, LocalHost, resolve
from flashtalk_core.engine.spec import ModelSpec, RenderSpec, SamplingSpec
from flashtalk_core.live.audio.sound import LiveSound
from flashtalk_core.live.chunks import live_chunk
from flashtalk_core.live.decide import ChunkCost
from flashtalk_core.live.engine import open_engine, portrait_of
from flashtalk_core.live.idle import IdleLoop
from flashtalk_core.live.session import LiveSession
from flashtalk_core.live.simulate import Simulation
from flashtalk_core.media.audio.info import AudioInfo
from flashtalk_core.placement.residency import CachedNetworks

EXAMPLE = Path(__file__).parents[3] / "flashtalk_core" / "assets" / "example"
RATE_HZ = 16_000


@cache
def speech():
    """Return the example's speech, ``(n,)`` at 16 kHz."""
    wave, rate = soundfile.read(EXAMPLE / "speech.wav", dtype="float32")
    return soxr.resample(wave, rate, RATE_HZ).astype(np.float32)


def plan_of(sound, size_px=None, steps=None, join_frames=None):
    """Return a plan whose audio is a live sound."""
    spec = RenderSpec(
        portrait=str(EXAMPLE / "portrait.png"),
        model=ModelSpec(name="tiny"),
        size_px=size_px,
        sampling=SamplingSpec(steps=steps, join_frames=join_frames),
    )
    return resolve(spec, LocalHost(), Inputs(audio_inputs=(AudioInfo.growing(sound),)))


def local_engine():
    """Return an engine of the bundled model's networks."""
    plan = plan_of(LiveSound())
    return LocalEngine(CachedNetworks(plan.checkpoint, plan.placement), EncodingMemo())


@dataclass
class Drawn:
    """Draws what it has not drawn yet: equal sound and state make equal frames."""

    engine: object
    sound: LiveSound
    known: dict = field(default_factory=dict)

    def draw(self, job):
        step = self.sound.format.heard_samples
        heard = self.sound.read(job.span.window.start * step, job.span.window.stop * step)
        motion = job.state.motion_frames
        digest = hashlib.sha256(heard.tobytes())
        digest.update(b"" if motion is None else motion.numpy().tobytes())
        key = digest.hexdigest(), job.chunk, job.state.chunk_index
        if key not in self.known:
            self.known[key] = list(self.engine.draw(job))
        yield from self.known[key]


@dataclass
class Film:
    """Keeps what left the clock."""

    shown: list = field(default_factory=list)

    def show(self, shown, now_s):
        self.shown.append(shown)

    @property
    def pictures(self):
        return torch.stack([one.picture for one in self.shown])


class TinySession:
    """A session of the bundled model; chunks cost half of their length."""

    def __init__(
        self,
        local,
        stack,
        *,
        lengths=(33,),
        policy,
        size_px=None,
        steps=None,
        join_frames=None,
        rate_hz=RATE_HZ,
        idle=None,
        known=None,
    ):
        self.sound = LiveSound(rate_hz)
        self.plan = plan_of(self.sound, size_px, steps, join_frames)
        chunks = [live_chunk(self.plan.chunk, n, policy.look_ahead) for n in lengths]
        opened = open_engine(local, self.plan, self.sound, chunks)
        self.engine = stack.enter_context(opened)
        costs = {n: ChunkCost(n, 0.4 * n, 0.5 * n) for n in self.engine.sources}
        idle = idle or IdleLoop.of(portrait_of(self.plan)[None])
        self.session = LiveSession(self.sound, idle, chunks, costs, policy, self.engine.fingerprint)
        self.out = Film()
        drawer = Drawn(self.engine, self.sound, {} if known is None else known)
        self.run = Simulation(self.session, drawer, self.out)

    def push(self, time_s, samples):
        self.run.at(time_s, lambda: self.session.push(samples[None]))

    def first_spoken(self):
        return next(one.frame for one in self.out.shown if one.utterance is not None)


def file_plan(sound, chunk, size_px=None, steps=None, join_frames=None):
    """Return the plan of a file with the arithmetic of a live chunk."""
    plan = plan_of(sound, size_px, steps, join_frames)
    return replace(plan, request=replace(plan.request, chunk=chunk))
