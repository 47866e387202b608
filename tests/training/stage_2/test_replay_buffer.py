"""Sessions that are stored after a step and continued in a later one."""

import pytest
import torch

from flashtalk_training.stage_2.replay_buffer import SessionReplayBuffer
from flashtalk_training.stage_2.scenes import Conditioning

pytestmark = pytest.mark.training

SHAPE = (16, 2, 4, 4)


def conditioning(first, count=2):
    faces = torch.arange(first, first + count)
    return Conditioning(faces, faces + 100)


def motion(first, count=2):
    return torch.arange(first, first + count).float().view(-1, 1, 1, 1, 1).expand(-1, *SHAPE)


@pytest.fixture
def sessions():
    return SessionReplayBuffer(4, SHAPE, torch.device("cpu"))


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def fill(sessions, generator):
    for first in (0, 2):
        batch = sessions.sample(2, 0.0, generator)
        assert batch.conditioning is None
        sessions.store(batch, conditioning(first), motion(first))


def test_sessions_come_back_as_they_were_stored(sessions, generator):
    fill(sessions, generator)
    seen = set()
    for _ in range(20):
        batch = sessions.sample(2, 0.0, generator)
        assert torch.equal(batch.motion[:, 0, 0, 0, 0], batch.conditioning.faces.float())
        assert torch.equal(batch.conditioning.prompts, batch.conditioning.faces + 100)
        assert len(set(batch.conditioning.faces.tolist())) == 2
        seen |= set(batch.conditioning.faces.tolist())
    assert seen == {0, 1, 2, 3}


def test_sampled_sessions_are_stored_in_their_own_slot(sessions, generator):
    fill(sessions, generator)
    batch = sessions.sample(2, 0.0, generator)
    sessions.store(batch, batch.conditioning, batch.motion + 10)
    values = sessions.tensors()["motion"][:, 0, 0, 0, 0]
    expected = torch.arange(4.0)
    expected[batch.slots] += 10
    assert torch.equal(values.float(), expected)


def test_new_sessions_replace_the_oldest(sessions, generator):
    fill(sessions, generator)
    for first, expected in ((10, [10, 11, 2, 3]), (12, [10, 11, 12, 13])):
        batch = sessions.sample(2, 1.0, generator)
        assert batch.conditioning is None
        sessions.store(batch, conditioning(first), motion(first))
        assert sessions.tensors()["motion"][:, 0, 0, 0, 0].tolist() == expected


def test_a_session_that_is_still_at_its_portrait_is_not_stored(sessions, generator):
    batch = sessions.sample(2, 0.0, generator)
    sessions.store(batch, conditioning(0), motion(0)[:, :, :1])
    assert int(sessions.tensors()["next"]) == 0


def test_session_draws_do_not_depend_on_what_is_kept(sessions):
    one, other = (torch.Generator().manual_seed(3) for _ in range(2))
    fill(sessions, one)
    empty = SessionReplayBuffer(4, SHAPE, torch.device("cpu"))
    empty.sample(2, 0.0, other)
    empty.sample(2, 0.0, other)
    assert torch.equal(torch.rand(3, generator=one), torch.rand(3, generator=other))
