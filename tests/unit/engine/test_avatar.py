"""The real networks as a source of chunks: the tiny model, 32 x 32 pixels."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from flashtalk_core.engine.build import build_avatar
from flashtalk_core.engine.events import NO_EVENTS, EventHandlers
from flashtalk_core.engine.session import run_session
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.geometry import chunk_span

pytestmark = pytest.mark.cpu

RATE_HZ = 16_000


class Samples:
    """Audio in memory."""

    def __init__(self, seed=0, seconds=4):
        rng = np.random.default_rng(seed)
        self.samples = rng.standard_normal(seconds * RATE_HZ).astype(np.float32) * 0.1

    def read(self, start, stop):
        window = np.zeros(stop - start, np.float32)
        first, last = max(0, start), min(len(self.samples), stop)
        window[first - start : last - start] = self.samples[first:last]
        return window


@pytest.fixture(scope="module")
def build(make_plan, networks):
    def build(audio=None, **plan):
        return build_avatar(make_plan(**plan), audio or Samples(), networks)

    return build


@pytest.fixture(scope="module")
def avatar(build):
    return build()


def video(avatar, total, state=None, events=NO_EVENTS):
    return torch.cat(list(run_session(avatar, total, state, events)))


def test_frames_are_images_on_the_cpu(avatar):
    frames = video(avatar, 30)
    assert (frames.shape, frames.dtype, frames.device.type) == ((30, 32, 32, 3), torch.uint8, "cpu")
    assert frames.is_contiguous()


def test_the_same_seed_gives_the_same_frames(avatar, build):
    frames = video(avatar, 40)
    assert torch.equal(video(build(), 40), frames)
    assert not torch.equal(video(build(seed=1), 40), frames)


def test_a_resumed_session_gives_the_same_frames(avatar, build):
    states = []
    frames = video(avatar, 70, events=EventHandlers(state=states.append))
    assert [state.chunk_index for state in states] == [1, 2]
    for state in states:
        start = 28 * state.chunk_index
        assert torch.equal(video(build(), 70, state), frames[start:])


def test_a_state_of_another_portrait_is_refused(avatar, build):
    states = []
    video(avatar, 30, events=EventHandlers(state=states.append))
    with pytest.raises(InvalidInputError, match="other settings"):
        video(build(image_seed=1), 60, states[0])


def test_each_chunk_hears_its_own_window_with_context_on_both_sides(build, checkpoint):
    reads = []

    class Recorded(Samples):
        def read(self, start, stop):
            reads.append((start, stop))
            return super().read(start, stop)

    avatar = build(audio=Recorded())
    heard = [avatar.encode_audio(chunk_span(index, avatar.chunk)) for index in range(3)]
    assert reads == [(640 * (28 * k - 89), 640 * (28 * k + 111)) for k in range(3)]
    dit = checkpoint.config.dit
    shape = (1, 33, dit.audio_window, dit.audio_blocks, dit.audio_channels)
    assert {part.shape for part in heard} == {shape}


def test_the_last_heard_frame_knows_what_follows_it(avatar):
    """The window of five features around it reaches two frames beyond the chunk."""
    heard = avatar.encode_audio(chunk_span(1, avatar.chunk))[0]
    # Column c of a row is the feature of frame row + c - 2.
    assert torch.equal(heard[-1, 1], heard[-2, 2])
    assert torch.equal(heard[-1, 0], heard[-3, 2])
    assert not torch.equal(heard[-1, 3], heard[-1, 2])
    assert not torch.equal(heard[-1, 4], heard[-1, 3])


def test_chunks_overlap_in_what_they_hear(avatar):
    """Motion frames of a chunk get the audio that they had at the end of the one before."""
    chunk = avatar.chunk
    first, second = chunk_span(1, chunk), chunk_span(2, chunk)
    overlap = [frame for frame in second.audio if frame in first.audio]
    assert len(overlap) == chunk.num_motion_frames
    assert first.window.start < first.audio.start
    assert first.audio.stop < first.window.stop


def test_rendering_can_be_stopped_before_a_step(avatar):
    def stop(step):
        raise KeyboardInterrupt("stopped on request")

    with pytest.raises(KeyboardInterrupt):
        video(replace(avatar, events=EventHandlers(step=stop)), 10)
    assert avatar.events is NO_EVENTS
