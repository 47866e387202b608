"""Several sessions that share what draws, in virtual time."""

import pytest

from flashtalk_core.live.clock import MOST_LATE_S, PlayoutClock
from flashtalk_core.live.session import LiveSession
from flashtalk_core.live.simulate import Simulation
from tests.unit.live.conftest import Recorder, Rig, speech

pytestmark = pytest.mark.cpu


def several(number, factor, capacity=None, **options):
    """Return sessions of lamps that one simulation draws for, and what left of each."""
    rigs = [Rig(factor, **options) for _ in range(number)]
    first = rigs[0]
    run = Simulation(first.session, first.engine, first.out, capacity=capacity)
    for rig in rigs[1:]:
        run.add(rig.session, rig.engine, rig.out)
    return rigs, run


def say(run, rig, time_s, num_frames):
    """Push sound in real time, in pieces of a frame, and end it."""
    for number in range(num_frames):
        run.at(time_s + (number + 1) / 25, lambda: rig.session.push(speech(1)))
    run.at(time_s + num_frames / 25 + 0.001, rig.session.end)


@pytest.mark.parametrize("offset_s", [0.0, 0.04, 0.37])
def test_eight_microphones_hold_no_picture(offset_s):
    rigs, run = several(8, 0.1)
    for number, rig in enumerate(rigs):
        say(run, rig, 1.0 + number * offset_s, 150)
    run.run(15.0)
    for rig in rigs:
        assert rig.session.counts.held == 0
        assert [one.seconds for one in rig.out.played] == [6]
        assert not any(one.interrupted for one in rig.out.played)


def test_whose_frame_is_due_first_is_drawn_first():
    rigs, run = several(2, 0.4)
    say(run, rigs[0], 0.0, 112)
    run.run(3.0)
    # The first is in the middle of its speech, so the second waits for at most one chunk.
    rigs[1].session.push(speech(28))
    rigs[1].session.end()
    said_frame = rigs[1].session.playhead
    run.run(8.0)
    assert rigs[0].session.counts.held == rigs[1].session.counts.held == 0
    chunk = 0.4 * 28
    assert rigs[1].out.first_lit() - said_frame <= 2 * chunk + 2


def test_no_more_speak_at_a_time_than_can_and_the_others_wait():
    rigs, run = several(4, 0.4, capacity=2)
    for rig in rigs:
        run.at(1.0, lambda rig=rig: (rig.session.push(speech(56)), rig.session.end()))
    run.run(12.0)
    starts = sorted(rig.out.first_lit() for rig in rigs)
    assert starts[1] < 25 + 28
    assert starts[2] >= starts[0] + 56 - 3  # its settling silence may be drawn
    for rig in rigs:
        assert [float(one.seconds) for one in rig.out.played] == [2.24]
        assert rig.session.counts.held == 0


def test_who_has_waited_longest_speaks_first():
    rigs, run = several(4, 0.4, capacity=1)
    order = []
    for place, rig in enumerate(reversed(rigs)):
        run.at(1.0 + place * 0.1, lambda rig=rig: (rig.session.push(speech(56)), rig.session.end()))
        order.append(rig)
    # One who has spoken speaks again before the last has, and comes after all who wait.
    again = order[0]
    run.at(5.0, lambda: (again.session.push(speech(28)), again.session.end()))
    run.run(20.0)
    starts = [rig.out.first_lit() for rig in order]
    assert starts == sorted(starts)
    assert again.out.first_lit(starts[0] + 60) > starts[-1]
    assert all(rig.session.counts.held == 0 for rig in rigs)


def test_who_speaks_without_a_gap_keeps_the_place_as_documented():
    rigs, run = several(2, 0.4, capacity=1)
    talker, other = rigs
    for number in range(10):  # utterances, each before the last one has left
        run.at(1.0 + number, lambda: (talker.session.push(speech(28)), talker.session.end()))
    run.at(1.1, lambda: (other.session.push(speech(28)), other.session.end()))
    run.run(16.0)
    assert [float(one.seconds) for one in talker.out.played] == [1.12] * 10
    assert other.out.first_lit() >= talker.out.first_lit() + 280


def test_without_a_limit_too_many_hold_pictures_but_lose_no_sound():
    rigs, run = several(4, 0.5)
    for rig in rigs:
        say(run, rig, 1.0, 140)
    run.run(20.0)
    assert sum(rig.session.counts.held for rig in rigs) > 0
    for rig in rigs:
        assert sum(float(one.seconds) for one in rig.out.played) == pytest.approx(5.6)


def test_a_clock_that_stood_still_moves_its_time():
    rig, out = Rig(), Recorder()
    assert isinstance(rig.session, LiveSession)
    clock = PlayoutClock(rig.session, 25)
    for number in range(5):
        out.show(clock.tick(number / 25)[0], number / 25)
    shown, _ = clock.tick(3600.0)
    assert shown.frame == 5
    assert clock.tick(3600.0)[0] is not None  # what may be early is
    assert clock.num_moves == 1
    left = 0
    while clock.tick(3600.0)[0] is not None:
        left += 1
    assert left < 5
    assert clock.due_s(clock_frame(rig)) > 3600.0 - MOST_LATE_S


def clock_frame(rig):
    return rig.session.playhead
