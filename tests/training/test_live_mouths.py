"""Mouths of the bundled model in live sessions: when they shut, and that they follow speech."""

import json
from contextlib import ExitStack
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch

from flashtalk_core.live.decide import Policy
from flashtalk_core.live.engine import prepare_idle
from flashtalk_core.live.idle import FADE_FRAMES
from flashtalk_training.drawn_faces.mouth import measure_mouth_opening
from tests.unit.live.tiny_session import (
    EXAMPLE,
    TinySession,
    local_engine,
    speech,
)

pytestmark = pytest.mark.manual

SHUT = 0.1
STEPS = 2
SPOKEN = speech()[: 4 * 16_000]


def openings(frames):
    """Return how far the mouth is open in ``(F, H, W, 3)`` uint8."""
    return measure_mouth_opening(frames.permute(0, 3, 1, 2) / 255).numpy()


def changes(frames):
    """Return the mean change from each frame to the next."""
    return np.array([float((b.float() - a.float()).abs().mean()) for a, b in pairwise(frames)])


@cache
def true_openings():
    track = json.loads((EXAMPLE / "speech.track.json").read_text())
    return np.array([row[0] for row in track["mouth"]])


@pytest.fixture(scope="module")
def live():
    """Start sessions that share networks, idle frames, and what was drawn of equal input."""
    local, known, idles = local_engine(), {}, {}
    with ExitStack() as stack:

        def start(idle, lengths=(33,)):
            policy = Policy(idle=idle)
            session = TinySession(
                local, stack, policy=policy, lengths=lengths, steps=STEPS, known=known,
                idle=idles.get(idle),
            )  # fmt: skip
            if idle == "bank" and idle not in idles:
                idles[idle] = prepare_idle(session.engine, session.plan, policy)[0]
                return start(idle, lengths)
            return session

        yield start


def test_a_mouth_that_is_cut_off_is_shut_within_two_new_frames(live):
    check_cuts(live, (33,))


def check_cuts(live, lengths):
    """Silence is drawn from the five pictures before it, wherever those are."""

    def play(clear_s=None):
        session = live("draw", lengths)
        session.push(1.0, SPOKEN)
        if clear_s is not None:
            session.run.at(clear_s, session.session.clear)
        session.run.run(5)
        return session

    session = play()
    whole, start = session.out.pictures, session.first_spoken()
    borders = range(start, 110, lengths[0] - 5)
    said, usual = openings(whole), np.mean([changes(whole[at - 1 : at + 1]) for at in borders])
    found = []
    for clear_s in np.arange(2.0, 3.4, 0.04):
        # The first frame of silence is this long after the clear, or a little later.
        first = int((clear_s + 0.1) * 25 + 0.4 * (lengths[0] - 5))
        if said[first - 1] > 0.35 and said[first] > 0.3 and (not found or first > found[-1] + 6):
            cut = play(float(clear_s)).out.pictures
            at = next(i for i in range(len(cut)) if not torch.equal(cut[i], whole[i]))
            opened = openings(cut)
            found.append(at)
            assert opened[at + 1 : at + 20].max() < SHUT, (at, opened[at - 1 : at + 4])
            assert changes(cut[at - 1 : at + 1])[0] <= 2 * usual  # a border of chunks
        if len(found) == 4:
            break
    assert len(found) >= 3


@pytest.mark.parametrize("start_s", [2.0, 2.55])
def test_speech_that_begins_at_any_idle_frame_moves_the_lips_at_once(live, start_s):
    session = live("bank")
    session.push(start_s, SPOKEN)
    session.run.run(start_s + 4.6)
    first = session.first_spoken()
    found = openings(session.out.pictures[first : first + 84])
    truth = true_openings()[:84]
    lags = {lag: np.corrcoef(found[lag:], truth[: 84 - lag])[0, 1] for lag in range(4)}
    assert max(lags, key=lags.get) == 0
    assert lags[0] >= 0.9
    assert np.corrcoef(found[:28], truth[:28])[0, 1] >= 0.9


def test_an_interrupted_mouth_fades_into_idle_within_ten_frames(live):
    said = None
    for clear_s in np.arange(3.2, 4.2, 0.04):
        session = live("bank")
        if said is None:
            session.push(2.0, SPOKEN)
            session.run.run(6)
            said = openings(session.out.pictures)
        if said[int(clear_s * 25) + 3] < 0.35:
            continue
        session = live("bank")
        session.push(2.0, SPOKEN)
        session.run.at(float(clear_s), session.session.clear)
        session.run.run(6)
        opened = openings(session.out.pictures)
        taken = int(clear_s * 25)
        assert opened[taken + 3] > SHUT
        assert opened[taken + 10 :].max() < SHUT
        sounds = [float(np.abs(one.sound).max()) for one in session.out.shown]
        assert max(sounds[taken + 4 :]) == 0
        return
    pytest.fail("no open mouth was interrupted")


def test_idle_frames_are_a_smooth_loop_of_a_shut_mouth(live):
    session = live("bank")
    session.run.run(12)
    assert session.session.counts.chunks == 0
    assert openings(session.out.pictures).max() < SHUT
    frames = session.session.idle.frames
    steps = changes(torch.cat([frames, frames[:1]]))
    # The join, and the fade before it; borders of the chunks that it is made of are the model's.
    assert steps[-FADE_FRAMES - 1 :].max() <= 2 * np.median(steps)
