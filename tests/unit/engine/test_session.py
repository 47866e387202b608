"""The loop over chunks: exact length, state in and out, nothing kept."""

import pytest
import torch

from flashtalk_core.config import ChunkConfig
from flashtalk_core.engine.session import run_session
from flashtalk_core.engine.state import SessionState
from flashtalk_core.errors import InvalidInputError

pytestmark = pytest.mark.cpu

CHUNK = ChunkConfig(num_frames=13, num_motion_frames=5)


class Counter:
    """Draws frames whose pixels are their number, and remembers what it was asked for."""

    chunk = CHUNK
    fingerprint = "counter"

    def __init__(self):
        self.asked = []
        self.drawn = 0

    def generate(self, span, state):
        self.asked.append((span, state))
        for first in range(span.shown.start, span.shown.stop, 4):
            self.drawn += 4
            numbers = torch.arange(first, first + 4, dtype=torch.uint8)
            yield numbers[:, None, None, None].expand(-1, 32, 32, 3)
        return SessionState(state.chunk_index + 1, None, state.fingerprint)


def numbers(groups):
    return [int(frame[0, 0, 0]) for group in groups for frame in group]


@pytest.mark.parametrize("total", [1, 3, 4, 5, 7, 8, 9, 16, 23, 24, 100])
def test_every_frame_comes_once_and_in_order(total):
    assert numbers(run_session(Counter(), total)) == list(range(total))


def test_frames_behind_the_end_are_not_drawn():
    source = Counter()
    list(run_session(source, 17))
    assert [span.index for span, _ in source.asked] == [0, 1, 2]
    assert source.drawn == 20


def test_frames_leave_before_the_next_are_drawn():
    source = Counter()
    session = run_session(source, 100)
    next(session)
    assert source.drawn == 4


def test_states_follow_each_other():
    source, states = Counter(), []
    list(run_session(source, 24, on_state=states.append))
    assert [state.chunk_index for _, state in source.asked] == [0, 1, 2]
    assert [state.chunk_index for state in states] == [1, 2, 3]
    assert {state.fingerprint for state in states} == {"counter"}


def test_a_chunk_that_is_cut_has_no_state():
    states = []
    list(run_session(Counter(), 20, on_state=states.append))
    assert [state.chunk_index for state in states] == [1, 2]


def test_a_state_continues_where_it_was_taken():
    states = []
    whole = numbers(run_session(Counter(), 30, on_state=states.append))
    rest = numbers(run_session(Counter(), 30, states[1]))
    assert rest == whole[16:]


def test_a_state_behind_the_end_draws_nothing():
    state = SessionState(chunk_index=4, fingerprint="counter")
    assert numbers(run_session(Counter(), 30, state)) == []


def test_a_state_of_other_settings_is_refused():
    with pytest.raises(InvalidInputError, match="other settings than counter") as caught:
        next(run_session(Counter(), 30, SessionState(1, None, "someone else's")))
    assert "start anew" in str(caught.value)
    assert "\n" not in str(caught.value)
