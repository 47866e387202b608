"""Hours of idle, chunks that are cut, and what a session counts; in virtual time."""

import os
import tracemalloc
from fractions import Fraction

import pytest
import torch

from flashtalk_core.live.decide import ChunkCost, Policy
from tests.unit.live.conftest import speech

pytestmark = pytest.mark.cpu


IDLE_S = 3_600 * float(os.environ.get("LIVE_IDLE_HOURS", "0.05"))


@pytest.mark.parametrize("idle", ["bank", "still"])
def test_hours_of_idle_draw_nothing_and_take_no_memory(rig, idle):
    run = rig(idle=idle)
    run.out.show = lambda shown, now_s: None
    run.say(1, 30)
    run.run.run(60)
    chunks = run.session.counts.chunks
    tracemalloc.start()
    run.run.run(120)
    before, _ = tracemalloc.get_traced_memory()
    run.run.run(120 + IDLE_S)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert run.session.counts.chunks == chunks
    assert run.session.counts.frames >= IDLE_S * 25
    assert after - before < 100_000
    run.say(121 + IDLE_S, 30)  # and speech begins as at the first second
    run.run.run(125 + IDLE_S)
    assert run.session.counts.chunks == chunks + 2
    assert run.session.counts.held == 0


def test_speech_goes_on_from_the_five_pictures_before_it(rig):
    run = rig()
    run.say(2.0, 28)
    run.run.run(4)
    first = run.out.first_lit()
    motion = run.engine.sources[28].states[0].motion_frames
    shown = torch.stack([one.picture for one in run.out.shown[first - 5 : first]])
    assert motion.shape == (1, 3, 5, 2, 2)
    assert torch.equal(((motion + 1) / 2 * 255).round()[0, 0, :, 0, 0], shown[:, 0, 0, 0].float())


def test_a_chunk_that_continues_another_goes_on_from_its_state(rig):
    run = rig()
    run.say(2.0, 80)
    run.run.run(7)
    states = run.engine.sources[28].states
    assert [state.chunk_index for state in states] == list(range(len(states)))
    assert all(torch.equal(state.motion_frames, torch.zeros(1)) for state in states[1:])


def test_speech_out_of_a_still_portrait_begins_like_a_first_chunk(rig):
    run = rig(idle="still")
    run.say(2.0, 28)
    run.run.run(5)
    assert run.engine.sources[28].states[0].motion_frames is None


def test_chunks_are_counted_that_were_drawn_not_those_shown(rig):
    run = rig()
    run.say(2.0, 80)
    run.at(2.2, run.session.clear)
    run.say(3.0, 28)
    run.run.run(7)
    assert run.session.counts.cancelled_chunks == 1
    assert [state.chunk_index for state in run.engine.sources[28].states][:2] == [0, 1]


def test_utterances_that_follow_each_other_leave_without_a_gap(rig):
    run = rig(0.5)
    for number in range(4):
        run.say(2.0 + 0.2 * number, 33, level=0.2 + 0.1 * number)
    run.run.run(9)
    first = run.out.first_lit()
    spoken = [one.utterance for one in run.out.shown[first : first + 132]]
    assert spoken == [1] * 33 + [2] * 33 + [3] * 33 + [4] * 33
    assert run.session.counts.held == 0


def test_a_stall_within_an_utterance_is_a_pause_with_a_shut_mouth(rig):
    run = rig(0.5)
    run.say(2.0, 40, end=False)
    run.say(5.0, 40, level=0.9)
    run.run.run(10)
    assert [played.seconds for played in run.out.played] == [Fraction(80, 25)]
    spoken = [one.frame for one in run.out.shown if one.utterance == 1]
    assert len(spoken) == 80
    pause = range(spoken[39] + 1, spoken[40])
    assert len(pause) > 25
    assert max(run.out.brightness[frame] for frame in pause) <= 100
    assert run.session.counts.held <= 2


def test_what_is_drawn_and_not_shown_is_bounded(rig):
    run = rig(0.05)
    most = 0

    def show(shown, now_s):
        nonlocal most
        most = max(most, run.session.num_drawn)

    run.out.show = show
    run.say(1.0, 1_000)
    run.run.run(45)
    assert 28 < most <= run.policy.ahead


def test_sound_goes_on_where_pictures_are_late(rig):
    run = rig(1.5)
    run.say(1.0, 140)
    run.run.run(12)
    levels = run.out.levels
    first = next(i for i, level in enumerate(levels) if level)
    assert all(levels[first : first + 140])
    assert run.session.counts.held > 0
    assert [played.seconds for played in run.out.played] == [Fraction(140, 25)]


def test_look_ahead_costs_as_many_frames(rig):
    shown = []
    for look_ahead in (0, 2):
        run = rig(policy=Policy(look_ahead=look_ahead))
        run.say(2.0, 60, speed=1)
        run.run.run(8)
        shown.append(run.out.first_lit())
    assert shown[1] - shown[0] == 2


def test_a_clear_while_idle_draws_and_reports_nothing(rig):
    for idle in ("bank", "draw", "still"):
        run = rig(idle=idle)
        run.at(2.0, run.session.clear)
        run.run.run(4)
        assert run.out.played == []
        assert run.session.counts.cancelled_chunks == 0


def test_a_clear_before_anything_was_drawn_reports_nothing_played(rig):
    run = rig()
    run.say(2.0, 10, end=False)
    run.at(2.05, run.session.clear)
    run.run.run(4)
    assert [(p.utterance, p.seconds, p.interrupted) for p in run.out.played] == [(1, 0, True)]
    assert run.session.counts.chunks == 0
    assert max(run.out.brightness) < 40


@pytest.mark.parametrize("moment_s", [0.50 + 0.01 * step for step in range(6)])
def test_what_was_spoken_is_not_faded_where_idle_frames_lead_to_what_follows(rig, moment_s):
    """The next utterance gives up the silence after this one, and is a frame too late to follow."""
    run = rig(0.75, lengths=(17,), first=0.74, steps=2)
    run.say(0.148, 12)
    run.say(moment_s, 30)
    run.run.run(4)
    for one, bright, level in zip(run.out.shown, run.out.brightness, run.out.levels, strict=True):
        if one.utterance is not None:
            assert bright == int(100 + 100 * level), one.frame
    assert len(run.out.played) == 2


@pytest.mark.parametrize(
    ("length", "pushed", "ended", "look_ahead", "beyond"),
    [(17, 30, False, 0, 2), (17, 13, False, 0, 1), (17, 12, False, 0, 0), (17, 12, True, 0, 2),
     (17, 30, False, 1, 2), (33, 60, False, 0, 0)],
)  # fmt: skip
def test_a_short_chunk_hears_what_is_known_after_it(rig, length, pushed, ended, look_ahead, beyond):
    session = rig(lengths=(length,), policy=Policy(look_ahead=look_ahead)).session
    session.push(speech(pushed))
    if ended:
        session.end()
    job = session.next_job()
    assert job.span.window.stop == job.span.shown.stop + beyond
    assert len(job.span.window) == 200


def test_one_chunk_that_was_held_up_hardly_delays_the_next_response(rig):
    run = rig(0.3, first=0.5)
    run.session.note_cost(ChunkCost(28, 250, 254))
    run.say(1.0, 40)
    run.run.run(6.0)
    chunk = 0.3 * 28
    assert run.out.first_lit() - 25 <= 2 * chunk
    for _ in range(20):
        run.session.note_cost(ChunkCost(28, chunk / 2, chunk))
    assert run.session.costs[28].all_frames == pytest.approx(chunk, rel=0.05)


def test_what_chunks_take_from_now_on_is_expected_soon(rig):
    run = rig(0.1)
    for _ in range(4):
        run.session.note_cost(ChunkCost(28, 20, 22))
    assert run.session.costs[28] == ChunkCost(28, 20, 22)
