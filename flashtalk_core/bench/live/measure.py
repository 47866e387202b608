"""``bench live``: a session with real networks, in virtual or in real time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ...engine.build import LocalEngine
from ...engine.encoding_cache import EncodingMemo
from ...engine.plan import RenderPlan
from ...engine.render import describe
from ...engine.spec import RenderSpec
from ...errors import require
from ...files.output_path import check_output
from ...live.audio.gate import Gate
from ...live.audio.silero import SileroDetector
from ...live.audio.sound import MAX_WAITING_S, LiveSound
from ...live.chunks import live_chunks
from ...live.clock import LEAD_S
from ...live.decide import ChunkCost, Policy, first_cost
from ...live.engine import LiveEngine, open_engine, prepare_idle
from ...live.plan import plan_live
from ...live.realtime import run_live
from ...live.recording import Recording
from ...live.session import LiveSession
from ...live.simulate import Simulation
from ...placement.residency import CachedNetworks
from .feed import Event, Samples, feed, read_samples
from .watch import Watch

logger = logging.getLogger(__name__)

_TAIL_S = 4.0
_MOST_SPEED, _MOST_DECLARED = 1000.0, 1000.0
_MOST_WAITING_S = MAX_WAITING_S - 10.0
"""Some of it waits for the first frame as well."""
_MOST_FACTOR = 0.95
"""Time of a chunk over its length up to which a session is played in real time."""


@dataclass(frozen=True, kw_only=True)
class LiveBench:
    """What is fed, and how it is played."""

    spec: RenderSpec
    """Portrait, model and placement; its speech is what is fed."""
    speed: float = 1.0
    """Seconds of sound that arrive in a second: 1 is a microphone."""
    is_gated: bool = True
    """Whether a gate says what is an utterance; else the whole is one."""
    asks_network: bool = False
    """Whether the gate asks silero-vad as well."""
    policy: Policy
    chunk_frames: tuple[int, ...] = (33,)
    factor: float | None = None
    """Time of a chunk over its length that is declared, and the time is virtual; ``None`` is real
    time."""
    clears_s: tuple[float, ...] = ()
    """When to interrupt, seconds after the sound began."""
    allow_slow: bool = False
    """Whether a session in real time may be slower than it is played."""
    output: Path | None = None
    """Where to write what was shown."""


@dataclass(frozen=True)
class LiveReport:
    """Rows of results."""

    chunks: list[dict[str, Any]]
    utterances: list[dict[str, Any]]
    clears: list[dict[str, Any]]
    session: list[dict[str, Any]]


def measure_live(bench: LiveBench) -> LiveReport:
    """Feed a recording to a session, and report what left its clock when.

    Raises:
        InvalidInputError: If something cannot be used, or chunks take longer than they last.
    """
    _check(bench)
    speech = bench.spec.speakers[0].audio
    assert speech is not None, "the command names one"
    samples = read_samples(Path(speech), bench.spec.start_s, bench.spec.duration_s)
    _check_times(bench, samples)
    detector = SileroDetector(samples.rate_hz) if bench.asks_network else None
    gate = Gate(samples.rate_hz, detector=detector) if bench.is_gated else None
    sound = LiveSound(
        samples.rate_hz, len(samples.block), layout=samples.layout, gate=gate, name=speech
    )
    plan = plan_live(bench.spec, sound)
    chunks = live_chunks(plan.chunk, sorted(bench.chunk_frames), bench.policy.look_ahead)
    local = LocalEngine(CachedNetworks(plan.checkpoint, plan.placement), EncodingMemo())
    with open_engine(local, plan, sound, chunks) as engine:
        logger.info("drawing the idle frames, and measuring chunks")
        idle, measured = prepare_idle(engine, plan, bench.policy)
        costs = {num: _declared(cost, bench.factor) for num, cost in measured.items()}
        session = LiveSession(sound, idle, engine.chunks, costs, bench.policy, engine.fingerprint)
        expected_s = _expected_s(session, bench)
        watch = _play(bench, session, engine, plan, samples)
    return _report(session, watch, measured, expected_s, gate)


def _check(bench: LiveBench) -> None:
    """Check what can be checked before anything is read."""
    require(0.1 <= bench.speed <= _MOST_SPEED, f"speed {bench.speed:g}: use 0.1 to {_MOST_SPEED:g}")
    require(
        bench.factor is None or 0 < bench.factor <= _MOST_DECLARED,
        f"factor {bench.factor}: use more than 0, as 0.6, and at most {_MOST_DECLARED:g}",
    )
    require(
        bench.is_gated or not bench.asks_network,
        "--vad with --no-gate: it is the gate that asks the network; leave one of them out",
    )
    if bench.output is not None:
        check_output(bench.output)


def _check_times(bench: LiveBench, samples: Samples) -> None:
    """Check what depends on how long the sound is."""
    sound_s = samples.block.shape[1] / samples.rate_hz
    for clear_s in bench.clears_s:
        require(
            0 <= clear_s <= sound_s + _TAIL_S,
            f"clear at {clear_s:g} s: use 0 to {sound_s + _TAIL_S:.1f}, the audio lasts "
            f"{sound_s:.1f} s",
        )
    waiting_s = sound_s * (1 - 1 / bench.speed)
    require(
        bench.is_gated or waiting_s <= _MOST_WAITING_S,
        f"audio of {sound_s:.0f} s at speed {bench.speed:g}: {waiting_s:.0f} s of it would wait to "
        f"be played, and at most {_MOST_WAITING_S:g} may; use a shorter --duration or a lower "
        "--speed",
    )


def _declared(cost: ChunkCost, factor: float | None) -> ChunkCost:
    """Return a chunk's cost as declared; the share of its first frame stays as measured."""
    if factor is None:
        return cost
    share = cost.first_frames / cost.all_frames
    return ChunkCost(cost.num_new, share * factor * cost.num_new, factor * cost.num_new)


def _expected_s(session: LiveSession, bench: LiveBench) -> float:
    """Return by arithmetic how long the first utterance of a session waits for its first frame."""
    cost = first_cost([session.costs[num] for num in sorted(session.costs)])
    rate_hz = session.chunks[0].frame_rate_hz
    sound = session.sound.format
    # A resampler keeps a little back.
    num_kept = bench.policy.look_ahead + (sound.rate_hz != sound.analysis_rate_hz)
    gathered_s = (cost.num_new + num_kept) / rate_hz / bench.speed
    return gathered_s + cost.first_frames / rate_hz + LEAD_S


def _play(
    bench: LiveBench,
    session: LiveSession,
    engine: LiveEngine,
    plan: RenderPlan,
    samples: Samples,
) -> Watch:
    watch = Watch(plan.chunk.frame_rate_hz)
    events = feed(session, watch, samples, bench.speed, bench.clears_s)
    sound_s = samples.block.shape[1] / samples.rate_hz
    until_s = max(events[-1][0], 1 + sound_s) + _TAIL_S
    with ExitStack() as stack:
        if bench.output is not None:
            recording = Recording(
                bench.output, plan.request.size_px, session.sound.format, describe(plan)
            )
            watch.sinks = [stack.enter_context(recording)]
        if bench.factor is None:
            _check_fast_enough(session, allow_slow=bench.allow_slow)
            _run_real(session, engine, watch, events, until_s)
            return watch
        simulation = Simulation(session, engine, watch, steps=plan.request.sampling.steps)
        for when_s, call in events:
            simulation.at(when_s, partial(call, when_s))
        simulation.run(until_s)
    return watch


def _check_fast_enough(session: LiveSession, *, allow_slow: bool) -> None:
    cost = session.costs[max(session.costs)]
    factor = cost.all_frames / cost.num_new
    require(
        allow_slow or factor <= _MOST_FACTOR,
        f"live: a chunk of {cost.num_new} frames takes {factor:.2f} times as long as it lasts, and "
        f"may take {_MOST_FACTOR}; use a smaller --size, fewer --steps, a faster device, virtual "
        "time (--factor 0.6), or --allow-slow to see it stall",
        subject="size",
    )


def _run_real(
    session: LiveSession,
    engine: LiveEngine,
    watch: Watch,
    events: Sequence[Event],
    until_s: float,
) -> None:
    """Play a session in real time; another thread speaks."""
    stop = threading.Event()
    start_s = time.monotonic()
    errors: list[BaseException] = []

    def speak() -> None:
        try:
            for when_s, call in events:
                if stop.wait(max(0.0, when_s - (time.monotonic() - start_s))):
                    return
                call(time.monotonic() - start_s)
            stop.wait(until_s - (time.monotonic() - start_s))
        except BaseException as error:  # raised again below
            errors.append(error)
        finally:
            stop.set()

    speaker = threading.Thread(target=speak, name="live-speaker", daemon=True)
    speaker.start()
    try:
        run_live(session, engine, watch, stop)
    finally:
        stop.set()
        speaker.join()
    if errors:
        raise errors[0]


def _report(
    session: LiveSession,
    watch: Watch,
    measured: dict[int, ChunkCost],
    expected_s: float,
    gate: Gate | None,
) -> LiveReport:
    rate_hz = watch.rate_hz
    chunks = [
        {
            "new_frames": cost.num_new,
            "seconds": cost.num_new / rate_hz,
            "first_frame_s": cost.first_frames / rate_hz,
            "chunk_s": cost.all_frames / rate_hz,
            "factor": cost.all_frames / cost.num_new,
            "played_factor": session.costs[cost.num_new].all_frames / cost.num_new,
        }
        for cost in measured.values()
    ]
    late_s = sorted(watch.late_s)
    summary = asdict(session.counts) | {
        "expected_response_s": expected_s,
        "most_early_ms": -1000 * late_s[0],
        "late_p99_ms": 1000 * late_s[int(0.99 * (len(late_s) - 1))],
        "late_most_ms": 1000 * late_s[-1],
    }
    if gate is not None:
        summary["gate_openings"] = gate.num_openings
    return LiveReport(
        chunks,
        [asdict(row) for _, row in sorted(watch.utterances.items())],
        [asdict(row) for row in watch.clears],
        [summary],
    )
