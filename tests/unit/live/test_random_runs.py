"""Random sessions in virtual time: what holds whatever is said, cleared and stalled."""

import os
from collections import Counter
from fractions import Fraction
from itertools import groupby

import numpy as np
import pytest

from flashtalk_core.live.clock import LEAD_S

pytestmark = pytest.mark.cpu

RUNS = int(os.environ.get("LIVE_RUNS", "60"))
"""Of each kind; 10,000 take a few minutes."""
LIMIT_S = 12.0


class Script:
    """A session that is driven by chance, and what it ought to have played."""

    def __init__(self, rig, seed, *, stalls):
        self.chance = chance = np.random.default_rng(seed)
        self.pushed = Counter()
        self.cleared = set()
        lengths = [(33,), (17,), (17, 33), (13, 21, 33)][chance.integers(4)]
        idle = ["bank", "still", "draw"][chance.integers(3)]
        most = 0.89 if lengths[0] == 33 or idle != "draw" else 0.6
        self.rig = rig(
            chance.uniform(0.1, most),
            first=chance.uniform(0.3, 0.95),
            lengths=lengths,
            idle=idle,
            steps=int(chance.integers(1, 5)),
        )
        self.session = self.rig.session
        time_s, self.number, self.is_open = 0.0, 0, False
        while (time_s := time_s + chance.exponential(0.4)) < LIMIT_S - 4:
            acts = (
                [self.push, self.push, self.end, self.clear] if stalls else [self.say, self.clear]
            )
            self.rig.at(time_s, acts[chance.integers(len(acts))])
        self.rig.at(LIMIT_S - 1, self.session.end)
        self.rig.at(LIMIT_S - 0.5, self.clear)
        self.rig.run.run(LIMIT_S)

    def push(self):
        if not self.is_open:
            self.number, self.is_open = self.number + 1, True
        length = int(self.chance.integers(1, 40_000))
        if self.number not in self.cleared:
            self.pushed[self.number] += length
        level = 0.1 + 0.1 * (self.number % 8)
        self.session.push(np.full((1, length), level, np.float32), self.number)

    def end(self):
        self.is_open = False
        self.session.end()

    def say(self):
        self.push()
        self.end()

    def clear(self):
        playing = {p.utterance for p in self.rig.out.played}
        self.cleared |= set(self.pushed) - playing
        self.session.clear()


def check_frames(run):
    """Every frame left once, in order, in time, and little was held back."""
    shown = run.rig.out.shown
    assert [one.frame for one in shown] == list(range(len(shown)))
    assert len(shown) >= LIMIT_S * 25
    early = np.arange(len(shown)) / 25 - np.array(run.rig.out.times_s)
    assert early.max() <= LEAD_S + 1e-9
    assert early.min() >= -1e-9
    assert run.session.num_drawn <= run.session.policy.ahead + 28


def check_played(run):
    """Each utterance was reported once, with what left."""
    out = run.rig.out
    reported = Counter(played.utterance for played in out.played)
    assert reported == Counter(set(run.pushed))
    left = Counter()
    for one in out.shown:
        if one.utterance is not None:
            left[one.utterance] += 640
    for played in out.played:
        seconds = Fraction(run.pushed[played.utterance], 16_000)
        if played.interrupted:
            assert played.utterance in run.cleared
            assert played.seconds <= min(seconds, Fraction(left[played.utterance], 16_000))
            assert left[played.utterance] / 16_000 - played.seconds < 0.04
        else:
            assert played.seconds == seconds
        # Nothing of it leaves after the report.
    reports = {p.utterance: one.frame for one in out.shown for p in one.played}
    last = {one.utterance: one.frame for one in out.shown if one.utterance is not None}
    assert all(last[number] <= reports[number] for number in last)


def check_pictures(run):
    """What speaks looks as it sounds."""
    for one, bright, level in zip(
        run.rig.out.shown, run.rig.out.brightness, run.rig.out.levels, strict=True
    ):
        if one.utterance is not None:
            assert bright == int(100 + 100 * np.float32(level)), one.frame


@pytest.mark.parametrize("seed", range(RUNS))
def test_whole_utterances_and_clears(rig, seed):
    run = Script(rig, seed, stalls=False)
    check_frames(run)
    check_played(run)
    check_pictures(run)
    if run.session.policy.idle == "draw":
        # A chunk of silence that was given up for speech may leave a gap, in silence.
        assert not any(one.is_held and one.utterance for one in run.rig.out.shown)
    else:
        assert run.session.counts.held == run.session.counts.late == 0


@pytest.mark.parametrize("seed", range(RUNS))
def test_stalls_ends_and_clears(rig, seed):
    run = Script(rig, seed, stalls=True)
    check_frames(run)
    check_played(run)
    if run.session.policy.idle != "draw":
        # Sound was late, each time for less than it is waited for.
        held = [
            len(list(group)) for is_held, group in groupby(run.rig.out.shown, _is_held) if is_held
        ]
        assert max(held, default=0) <= run.session.policy.slack + run.session.policy.grace + 3


def _is_held(one):
    return one.is_held
