"""Loops of idle frames, and what is shown around them."""

import re
from itertools import pairwise

import pytest
import torch

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.live.chunks import live_chunks
from flashtalk_core.live.engine import prepare_idle
from flashtalk_core.live.idle import IdleLoop, blend, close_loop
from flashtalk_core.live.timeline import Timeline

pytestmark = pytest.mark.cpu


def waves(count, period):
    """Frames that repeat after ``period``, drifting a little."""
    time = torch.arange(count)
    level = 128 + 60 * torch.sin(2 * torch.pi * time / period) + 0.05 * time
    across = torch.linspace(0, 20, 32)
    return (level[:, None, None, None] + across[None, None, :, None]).expand(
        -1, 32, 32, 3
    ).to(torch.uint8)  # fmt: skip


def test_a_loop_closes_where_frames_are_alike():
    frames = waves(84, 25)
    loop = close_loop(frames)
    assert len(loop.frames) >= 42
    steps = [float((b.float() - a.float()).abs().mean()) for a, b in pairwise(frames)]
    closed = [*loop.frames, loop.frames[0]]
    looped = [float((b.float() - a.float()).abs().mean()) for a, b in pairwise(closed)]
    assert max(looped) <= 1.2 * max(steps)


def test_the_nearest_frame_is_found():
    loop = IdleLoop.of(waves(13, 25))
    found = [loop.nearest(loop.at(index)) for index in range(13)]
    assert all(torch.equal(loop.at(one), loop.at(index)) for index, one in enumerate(found))
    assert torch.equal(loop.at(14), loop.at(1))


def test_a_blend_rounds():
    dark, bright = (torch.full((2, 2, 3), value, dtype=torch.uint8) for value in (10, 21))
    assert blend(dark, bright, 0.5)[0, 0, 0] == 16


def test_a_picture_that_is_missing_is_the_last_one_again():
    line = Timeline(IdleLoop.of(waves(25, 25)), 5, 5)
    line.cut(1, 0, "")
    line.add(1, waves(2, 7))
    shown = [line.take() for _ in range(5)]
    assert [held for _, held in shown] == [False, False, False, True, True]
    assert torch.equal(shown[4][0], shown[2][0])
    assert line.add(3, waves(3, 7)) == 2  # two came too late
    assert line.take()[1] is False


def test_what_is_cut_is_not_shown():
    idle = IdleLoop.of(waves(25, 25))
    line = Timeline(idle, 5, 5)
    line.cut(2, 0, "")
    line.add(2, torch.full((6, 32, 32, 3), 9, dtype=torch.uint8))
    state = line.cut(5, 3, "mark")
    assert (state.chunk_index, state.fingerprint) == (3, "mark")
    motion = state.motion_frames
    assert motion is not None
    assert ((motion[0, 0, :, 0, 0] + 1) / 2 * 255).round().tolist() == [
        *idle.frames[:2, 0, 0, 0].tolist(), 9, 9, 9,
    ]  # fmt: skip
    assert [line.take()[1] for _ in range(6)] == [False] * 5 + [True]


@pytest.mark.parametrize("length", [9, 13, 17])
def test_short_chunks_make_idle_frames_as_well(rig, length):
    session = rig(lengths=(length,))
    plan, clock = None, iter(range(1000))
    idle, costs = prepare_idle(session.engine, plan, session.policy, lambda: next(clock))
    assert len(idle.frames) >= 12
    assert list(costs) == [length - 5]


@pytest.mark.parametrize(
    ("lengths", "message"),
    [((5,), "chunk of 5 frames: use 4n + 1, from 9 to 197"), ((10,), "chunk of 10 frames"),
     ((201,), "from 9 to 197"), ((-3,), "chunk of -3 frames"), ((33, 17, 33), "named twice")],
)  # fmt: skip
def test_lengths_that_cannot_be_are_refused(lengths, message):
    with pytest.raises(InvalidInputError, match=re.escape(message)):
        live_chunks(ChunkConfig(), lengths, 0)
