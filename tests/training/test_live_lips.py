"""Lips of the bundled model in live sessions against those of a file; some minutes each."""

from contextlib import ExitStack
from functools import cache

import numpy as np
import pytest
import torch

from flashtalk_core.engine.build import build_avatar
from flashtalk_core.engine.session import run_session
from flashtalk_core.live.audio.gate import Gate
from flashtalk_core.live.audio.sound import LiveSound
from flashtalk_core.live.decide import Policy
from flashtalk_core.media.audio.probe import AnalysisStream
from tests.training.test_live_mouths import STEPS, check_cuts, openings, true_openings
from tests.unit.live.test_gate import at_level
from tests.unit.live.tiny_session import TinySession, file_plan, local_engine, plan_of, speech

pytestmark = pytest.mark.manual


@pytest.fixture(scope="module")
def live():
    """Start sessions that share networks, and what was drawn of equal input."""
    local, known = local_engine(), {}
    with ExitStack() as stack:
        yield lambda idle, lengths=(33,): TinySession(
            local, stack, policy=Policy(idle=idle), lengths=lengths, steps=STEPS, known=known
        )


WHOLE = speech()[: 12 * 16_000]


def spoken_frames(live_session, samples, record):
    """Let a session say ``samples`` at once, and return the frames of it."""
    live_session.push(1.0, samples)
    live_session.run.at(1.0, live_session.session.end)
    live_session.run.run(1.0 + len(samples) / 16_000 + 3)
    frames = [one.picture for one in live_session.out.shown if one.utterance is not None]
    record("frames", len(frames))
    return torch.stack(frames)


@cache
def file_openings():
    """Return the mouth of a file render, whose chunks hear what follows them."""
    sound = LiveSound()
    local = local_engine()
    plan = file_plan(sound, plan_of(sound, steps=STEPS).chunk, steps=STEPS)
    sound.push(WHOLE[None])
    sound.close()
    with AnalysisStream(plan.audio) as stream:
        avatar = build_avatar(plan, stream, local.networks, memo=local.memo)
        return openings(torch.cat(list(run_session(avatar, len(WHOLE) // 640))))


@pytest.mark.parametrize(("lengths", "lower"), [((33,), 0.01), ((17,), 0.03)])
def test_live_lips_follow_speech_nearly_as_those_of_a_file(live, lengths, lower, record_property):
    truth = true_openings()[: len(WHOLE) // 640]
    of_file = np.corrcoef(file_openings()[: len(truth)], truth)[0, 1]
    found = openings(spoken_frames(live("still", lengths), WHOLE, record_property))[: len(truth)]
    of_live = np.corrcoef(found, truth)[0, 1]
    record_property("file", round(float(of_file), 4))
    record_property("live", round(float(of_live), 4))
    assert of_live >= of_file - lower


def test_quiet_speech_through_the_gate_moves_the_lips_like_speech_without_it(live, record_property):
    quiet = at_level(WHOLE, -35)
    plain = openings(spoken_frames(live("still"), quiet, record_property))
    gated, gate = np.zeros_like(quiet), Gate(16_000)
    position = 0
    for start in range(0, len(quiet), 320):
        # What passes keeps its place: the gate only drops what is before and after it.
        for part in gate.process(quiet[None, start : start + 320]):
            if part is not None:
                end = min(start + 320, len(quiet))
                position = max(position, end - part.shape[1])
                gated[position : position + part.shape[1]] = part[0, : len(quiet) - position]
                position += part.shape[1]
    assert gate.num_openings >= 1
    found = openings(spoken_frames(live("still"), gated, record_property))
    length = min(len(found), len(plain))
    correlation = np.corrcoef(found[:length], plain[:length])[0, 1]
    record_property("correlation", round(float(correlation), 4))
    assert correlation >= 0.85


def test_a_mouth_of_short_chunks_that_is_cut_off_is_shut_within_two_new_frames(live):
    check_cuts(live, (17,))
