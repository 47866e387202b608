"""What is drawn next, by cases."""

from dataclasses import replace

import pytest

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.live.decide import (
    Abort,
    ChunkCost,
    Draw,
    Join,
    Policy,
    Rest,
    View,
    Wait,
    decide,
    first_cost,
)

pytestmark = pytest.mark.cpu

LONG, SHORT = ChunkCost(28, 12.5, 14), ChunkCost(12, 4, 6)
IDLE = View(playhead=100, drawn=100, sound_stop=50, is_resting=True, costs=[LONG])
SPEAKING = replace(IDLE, drawn=130, sound_stop=170, is_resting=False)


def test_in_silence_nothing_is_drawn():
    assert decide(IDLE, Policy()) == Wait()


def test_speech_begins_at_the_first_frame_that_can_be_there_in_time():
    view = replace(IDLE, waiting=28)
    assert decide(view, Policy()) == Draw(113, 28, "start")
    assert decide(replace(view, to_next=0.6), Policy()) == Draw(112, 28, "start")
    assert decide(replace(view, waiting=27), Policy()) == Wait()
    assert decide(replace(view, waiting=29), Policy(look_ahead=2)) == Wait()


@pytest.mark.parametrize("why", [{"is_waiting_whole": True}, {"quiet": 5.0}])
def test_less_than_a_chunk_is_enough_where_no_more_comes(why):
    assert decide(replace(IDLE, waiting=3, **why), Policy()) == Draw(113, 28, "start")


def test_silence_gives_way_to_speech_and_speech_does_not():
    view = replace(IDLE, drawn=128, is_resting=False, waiting=28)
    assert decide(replace(view, busy="silence"), Policy()) == Abort()
    assert decide(replace(view, busy="speech"), Policy()) == Wait()
    assert decide(replace(view, busy="silence", waiting=2), Policy()) == Wait()


def test_the_next_utterance_follows_the_last_without_a_gap():
    assert decide(replace(SPEAKING, waiting=1), Policy()) == Join()
    late = replace(IDLE, sound_stop=128, drawn=128, is_resting=False, waiting=28)
    assert decide(late, Policy()) == Draw(128, 28, "start")


def test_speech_goes_on_ahead_up_to_a_bound():
    assert decide(replace(SPEAKING, drawn=128), Policy()) == Draw(128, 28, "more")
    assert decide(replace(SPEAKING, drawn=129), Policy()) == Wait()


def test_the_end_of_speech_is_filled_with_silence():
    view = replace(SPEAKING, playhead=118, sound_stop=135)
    assert decide(view, Policy()) == Draw(130, 28, "more")
    assert decide(replace(view, costs=[SHORT, LONG]), Policy()) == Draw(130, 12, "more")
    assert decide(replace(view, may_grow=True), Policy()) == Wait()


def test_sound_that_stalls_is_waited_for_and_then_drawn_short():
    view = replace(SPEAKING, playhead=120, sound_stop=135, may_grow=True)
    assert decide(view, Policy()) == Wait()
    assert decide(replace(view, quiet=5.0), Policy()) == Draw(133, 28, "more")
    assert decide(replace(view, playhead=124), Policy()) == Draw(137, 28, "more")


def test_the_longest_chunk_that_the_sound_fills_is_drawn_when_it_is_time():
    view = replace(SPEAKING, sound_stop=144, may_grow=True, costs=[SHORT, LONG])
    assert decide(view, Policy()) == Wait()
    assert decide(replace(view, playhead=119), Policy()) == Draw(130, 12, "more")


def test_after_speech_the_mouth_shuts_before_idle_frames_follow():
    view = replace(SPEAKING, sound_stop=125)
    assert decide(view, Policy()) == Draw(130, 28, "silence")
    assert decide(replace(view, sound_stop=123), Policy()) == Rest()


def test_drawn_idle_stays_ahead_by_what_speech_may_need():
    policy = Policy(idle="draw")
    assert decide(replace(IDLE, drawn=140, is_resting=False), policy) == Wait()
    assert decide(replace(IDLE, drawn=128, is_resting=False), policy) == Draw(128, 28, "silence")
    stale = replace(SPEAKING, sound_stop=100, is_stale=True)
    assert decide(stale, policy) == Draw(113, 28, "silence")


def test_a_chunk_that_is_late_begins_at_the_frame_that_is_due():
    late = replace(SPEAKING, playhead=120)
    assert decide(late, Policy()) == Draw(133, 28, "more")
    assert decide(replace(late, playhead=119), Policy()) == Draw(130, 28, "more")


def test_the_first_chunk_is_short_where_the_next_is_there_in_time():
    assert first_cost([SHORT, LONG]) == LONG  # 6 + 12.5 > 4 + 12
    assert first_cost([SHORT, replace(LONG, first_frames=10.0)]) == SHORT


@pytest.mark.parametrize("look_ahead", [-1, 26])
def test_a_look_ahead_that_cannot_be_is_refused(look_ahead):
    with pytest.raises(InvalidInputError, match=f"look-ahead {look_ahead}: use 0 to 25"):
        Policy(look_ahead=look_ahead)


def test_a_short_rest_of_sound_is_drawn_once_nothing_is_left_to_show():
    """However little time a chunk takes."""
    quick = ChunkCost(28, 0.5, 1)
    view = View(
        playhead=131, drawn=131, dry=1, sound_stop=141, may_grow=True, quiet=9.0, costs=[quick]
    )
    assert decide(view, Policy()) == Draw(131, 28, "more")
    assert decide(replace(view, playhead=130, drawn=130, dry=0, to_next=0.9), Policy()) == Wait()
