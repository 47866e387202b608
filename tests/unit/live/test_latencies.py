"""When speech begins and stops, against arithmetic, in virtual time."""

import pytest

from flashtalk_core.live.clock import LEAD_S

pytestmark = pytest.mark.cpu

FACTORS = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2]
MOMENTS_S = [2.0, 2.013, 2.029, 2.41, 2.777]
CHUNK_S = 28 / 25
FRAME_S = 1 / 25


def first_s(factor):
    return 0.88 * factor * CHUNK_S


def shown_s(run):
    return run.out.first_lit() * FRAME_S


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("idle", ["bank", "still"])
def test_speech_at_once_is_shown_after_the_first_frame_and_the_lead(rig, factor, idle):
    for moment_s in MOMENTS_S:
        run = rig(factor, idle=idle)
        run.say(moment_s, 28)
        run.run.run(moment_s + 3)
        over = shown_s(run) - moment_s - first_s(factor) - LEAD_S
        assert -1e-6 <= over <= FRAME_S, moment_s


@pytest.mark.parametrize("factor", FACTORS)
def test_each_sample_of_a_microphone_is_shown_a_chunk_and_its_first_frame_later(rig, factor):
    for moment_s in MOMENTS_S:
        run = rig(factor)
        run.say(moment_s, 90 if factor < 1 else 28, speed=1, end=factor > 1)
        run.run.run(moment_s + 6)
        over = shown_s(run) - moment_s - CHUNK_S - first_s(factor) - LEAD_S
        assert -1e-6 <= over <= FRAME_S, moment_s
        first = run.out.first_lit()
        assert factor > 0.9 or min(run.out.brightness[first : first + 84]) > 105


@pytest.mark.parametrize("factor", [one for one in FACTORS if one <= 1])
def test_where_idle_is_drawn_the_rest_of_a_step_is_waited_for(rig, factor):
    steps = 2
    step_s = first_s(factor) / steps
    for moment_s in [5 + 0.07 * k for k in range(16)]:
        run = rig(factor, idle="draw", steps=steps)
        run.say(moment_s, 28)
        run.run.run(moment_s + 3)
        over = shown_s(run) - moment_s - first_s(factor) - LEAD_S
        assert -1e-6 <= over <= step_s + FRAME_S, moment_s


@pytest.mark.parametrize("factor", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("speed", [2.0, 5.0, 20.0])
def test_fast_sound_is_gathered_for_one_chunk(rig, factor, speed):
    run = rig(factor)
    run.say(2.0, 140, speed=speed)
    run.run.run(10)
    over = shown_s(run) - 2.0 - CHUNK_S / speed - first_s(factor) - LEAD_S
    assert -1e-6 <= over <= FRAME_S
    assert run.session.counts.held == 0


@pytest.mark.parametrize("factor", [0.3, 0.5, 0.7])
def test_a_short_first_chunk_is_taken_where_the_next_one_is_there_in_time(rig, factor):
    run = rig(factor, lengths=(17, 33), first=0.5)
    run.say(2.0, 140)
    run.run.run(10)
    short_s = factor * 12 / 25
    is_in_time = short_s + 0.5 * factor * CHUNK_S <= 0.5 * short_s + 12 / 25
    cost_s = 0.5 * short_s if is_in_time else 0.5 * factor * CHUNK_S
    assert -1e-6 <= shown_s(run) - 2.0 - cost_s - LEAD_S <= FRAME_S
    assert run.session.counts.held == 0


@pytest.mark.parametrize("factor", [0.3, 0.6, 0.9])
def test_short_chunks_throughout_shorten_the_way_of_a_microphone(rig, factor):
    run = rig(factor, lengths=(17,))
    run.say(2.0, 120, speed=1)
    run.run.run(10)
    expected_s = 12 / 25 * (1 + 0.88 * factor) + LEAD_S
    assert -1e-6 <= shown_s(run) - 2.0 - expected_s <= FRAME_S
    assert run.session.counts.held == 0


@pytest.mark.parametrize("factor", FACTORS)
def test_a_clear_stops_sound_with_the_next_frame_and_fades_in_five(rig, factor):
    for moment_s in [4.0, 4.013, 4.5]:
        run = rig(factor)
        run.say(2.0, 150)
        run.at(moment_s, run.session.clear)
        run.run.run(8)
        left = next(i for i, t in enumerate(run.out.times_s) if t > moment_s)
        assert max(run.out.levels[left + 1 :]) == 0
        assert max(run.out.brightness[left + 5 :]) < 40  # idle frames
        assert (left - 1) / 25 - moment_s <= LEAD_S + 1e-6


@pytest.mark.parametrize("factor", [0.3, 0.5, 0.9])
def test_where_idle_is_drawn_a_clear_draws_silence_from_the_first_frame_that_can_be(rig, factor):
    run = rig(factor, idle="draw", steps=2)
    run.say(2.0, 150)
    run.at(4.0, run.session.clear)
    run.run.run(8)
    dark = next(i for i, b in enumerate(run.out.brightness) if i > 75 and b <= 100)
    step_s = first_s(factor) / 2
    assert 0 < dark / 25 - 4.0 <= first_s(factor) + step_s + LEAD_S + FRAME_S
    assert max(run.out.brightness[dark:]) <= 100


@pytest.mark.parametrize("factor", FACTORS)
def test_no_frame_leaves_more_than_the_lead_early_or_late(rig, factor):
    run = rig(factor)
    run.say(1.0, 60)
    run.say(5.0, 60, speed=1)
    run.run.run(10)
    early = [frame / 25 - time_s for frame, time_s in enumerate(run.out.times_s)]
    assert max(early) <= LEAD_S + 1e-9
    assert min(early) >= -1e-9
