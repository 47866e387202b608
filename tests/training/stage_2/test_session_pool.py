"""Sessions that are put back after a step and taken up again."""

import pytest
import torch

from flashtalk_training.stage_2.scenes import Told
from flashtalk_training.stage_2.session_pool import LastingSessions

pytestmark = pytest.mark.cpu

SHAPE = (16, 2, 4, 4)


def told(first, count=2):
    faces = torch.arange(first, first + count)
    return Told(faces, faces + 100)


def motion(first, count=2):
    return torch.arange(first, first + count).float().view(-1, 1, 1, 1, 1).expand(-1, *SHAPE)


@pytest.fixture
def sessions():
    return LastingSessions(4, SHAPE, torch.device("cpu"))


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def fill(sessions, generator):
    for first in (0, 2):
        taken = sessions.take(2, 0.0, generator)
        assert taken.told is None
        sessions.put(taken, told(first), motion(first))


def test_sessions_come_back_as_they_were_put(sessions, generator):
    fill(sessions, generator)
    seen = set()
    for _ in range(20):
        taken = sessions.take(2, 0.0, generator)
        assert torch.equal(taken.motion[:, 0, 0, 0, 0], taken.told.faces.float())
        assert torch.equal(taken.told.prompts, taken.told.faces + 100)
        assert len(set(taken.told.faces.tolist())) == 2
        seen |= set(taken.told.faces.tolist())
    assert seen == {0, 1, 2, 3}


def test_what_was_taken_up_is_put_in_its_own_place(sessions, generator):
    fill(sessions, generator)
    taken = sessions.take(2, 0.0, generator)
    sessions.put(taken, taken.told, taken.motion + 10)
    values = sessions.tensors()["motion"][:, 0, 0, 0, 0]
    expected = torch.arange(4.0)
    expected[taken.places] += 10
    assert torch.equal(values.float(), expected)


def test_new_sessions_replace_the_oldest(sessions, generator):
    fill(sessions, generator)
    for first, expected in ((10, [10, 11, 2, 3]), (12, [10, 11, 12, 13])):
        taken = sessions.take(2, 1.0, generator)
        assert taken.told is None
        sessions.put(taken, told(first), motion(first))
        assert sessions.tensors()["motion"][:, 0, 0, 0, 0].tolist() == expected


def test_a_session_that_is_still_at_its_portrait_is_not_kept(sessions, generator):
    taken = sessions.take(2, 0.0, generator)
    sessions.put(taken, told(0), motion(0)[:, :, :1])
    assert int(sessions.tensors()["next"]) == 0


def test_session_draws_do_not_depend_on_what_is_kept(sessions):
    one, other = (torch.Generator().manual_seed(3) for _ in range(2))
    fill(sessions, one)
    empty = LastingSessions(4, SHAPE, torch.device("cpu"))
    empty.take(2, 0.0, other)
    empty.take(2, 0.0, other)
    assert torch.equal(torch.rand(3, generator=one), torch.rand(3, generator=other))
