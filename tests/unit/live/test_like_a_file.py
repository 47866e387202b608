"""Live frames against those of a file with the same look-back: the bundled model, 32 x 32."""

from contextlib import ExitStack

import numpy as np
import pytest
import soxr
import torch

from flashtalk_core.engine.build import build_avatar
from flashtalk_core.engine.session import run_session
from flashtalk_core.live.audio.sound import LiveSound
from flashtalk_core.live.chunks import live_chunk
from flashtalk_core.live.decide import Policy
from flashtalk_core.media.audio.probe import AnalysisStream
from tests.unit.live.tiny_session import (
    RATE_HZ,
    TinySession,
    file_plan,
    local_engine,
    plan_of,
    speech,
)

pytestmark = pytest.mark.e2e

SMALL = {"size_px": (32, 32), "steps": 1}
TOTAL = 75


@pytest.fixture(scope="module")
def local():
    return local_engine()


def file_frames(local, samples, rate_hz, look_ahead, **sampling):
    sound = LiveSound(rate_hz)
    chunk = live_chunk(plan_of(sound, **SMALL).chunk, 33, look_ahead)
    plan = file_plan(sound, chunk, **SMALL, **sampling)
    assert chunk.audio_lookback_frames == 172 - look_ahead
    sound.push(samples[None])
    sound.close()
    with AnalysisStream(plan.audio) as stream:
        avatar = build_avatar(plan, stream, local.networks, memo=local.memo)
        return torch.cat(list(run_session(avatar, TOTAL)))


@pytest.mark.parametrize(("rate_hz", "look_ahead"), [(16_000, 0), (48_000, 0), (24_000, 2)])
def test_frames_are_equal_to_the_bit_whatever_the_blocks(local, rate_hz, look_ahead):
    samples = speech()[: TOTAL * 640]
    if rate_hz != RATE_HZ:
        samples = soxr.resample(samples, RATE_HZ, rate_hz).astype(np.float32)
    chance = np.random.default_rng(rate_hz + look_ahead)
    with ExitStack() as stack:
        policy = Policy(idle="still", look_ahead=look_ahead)
        live = TinySession(local, stack, policy=policy, rate_hz=rate_hz, **SMALL)
        position, time_s = 0, 1.0
        while position < len(samples):
            size = int(chance.choice([1, 7, 320, 4_001, 50_000]))
            live.push(time_s, samples[position : position + size])
            position, time_s = position + size, time_s + 1e-4
        live.run.at(time_s, live.session.end)
        live.run.run(6)
        first = live.first_spoken()
        expected = file_frames(local, samples, rate_hz, look_ahead)
        assert torch.equal(live.out.pictures[first : first + TOTAL], expected)
        assert live.session.counts.held == 0
        sounds = np.concatenate([one.sound[0] for one in live.out.shown], axis=0)
        start = first * rate_hz // 25
        assert np.array_equal(sounds[start : start + len(samples)], samples)


@pytest.mark.parametrize("join_frames", [0, 6])
def test_a_paced_microphone_gives_the_same_frames(local, join_frames):
    samples = speech()[: TOTAL * 640]
    with ExitStack() as stack:
        live = TinySession(
            local, stack, policy=Policy(idle="still"), join_frames=join_frames, **SMALL
        )
        for start in range(0, len(samples), 320):
            live.push(1 + (start + 320) / RATE_HZ, samples[start : start + 320])
        live.run.at(1 + len(samples) / RATE_HZ, live.session.end)
        live.run.run(7)
        first = live.first_spoken()
        expected = file_frames(local, samples, RATE_HZ, 0, join_frames=join_frames)
        assert torch.equal(live.out.pictures[first : first + TOTAL], expected)


def test_a_cut_changes_nothing_before_it(local):
    samples = speech()[: 6 * RATE_HZ]
    films = []
    for clears in (False, True):
        with ExitStack() as stack:
            live = TinySession(local, stack, policy=Policy(idle="draw"), **SMALL)
            live.push(1.0, samples)
            if clears:
                live.run.at(4.01, live.session.clear)
            live.run.run(6)
            films.append(live.out.pictures)
    # What was drawn is shown until the first frame of silence can be there.
    leaves, first_s = 4.01 + 0.1, 0.4 * 28 / 25
    cut = (leaves + first_s) * 25
    before, after = films
    first = next(i for i in range(len(after)) if not torch.equal(before[i], after[i]))
    step = 28 * 0.4 / 4  # of the chunk that is given up
    assert cut - 1 <= first <= cut + step + 1
