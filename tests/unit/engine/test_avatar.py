"""The real networks as a source of chunks: the tiny model, 32 x 32 pixels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from flashtalk_core.config import SamplingConfig
from flashtalk_core.engine.avatar import fingerprint
from flashtalk_core.engine.build import AvatarRequest, build_avatar, warn_about_size
from flashtalk_core.engine.session import run_session
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.geometry import chunk_span
from flashtalk_core.weights.load import open_avatar

pytestmark = pytest.mark.cpu

RATE_HZ = 16_000


class Samples:
    """Sound in memory."""

    def __init__(self, seed=0, seconds=4):
        rng = np.random.default_rng(seed)
        self.samples = rng.standard_normal(seconds * RATE_HZ).astype(np.float32) * 0.1

    def read(self, start, stop):
        window = np.zeros(stop - start, np.float32)
        first, last = max(0, start), min(len(self.samples), stop)
        window[first - start : last - start] = self.samples[first:last]
        return window


def portrait(seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 40, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def checkpoint():
    return open_avatar("tiny")


@pytest.fixture(scope="module")
def build(checkpoint):
    def build(picture=None, sound=None, name="sound", prompt="hello", size_px=(32, 32), **sampling):
        request = AvatarRequest(
            picture=picture or portrait(),
            prompt=prompt,
            size_px=size_px,
            sampling=SamplingConfig(steps=1, rule="euler", **sampling),
        )
        device = torch.device("cpu")
        return build_avatar(checkpoint, request, sound or Samples(), name, device, torch.float32)

    return build


@pytest.fixture(scope="module")
def avatar(build):
    return build()


def video(avatar, total, state=None, on_state=None):
    return torch.cat(list(run_session(avatar, total, state, on_state)))


def test_frames_are_pictures_on_the_cpu(avatar):
    frames = video(avatar, 30)
    assert (frames.shape, frames.dtype, frames.device.type) == ((30, 32, 32, 3), torch.uint8, "cpu")
    assert frames.is_contiguous()


def test_the_same_seed_gives_the_same_frames(avatar, build):
    frames = video(avatar, 40)
    assert torch.equal(video(build(), 40), frames)
    assert not torch.equal(video(build(seed=1), 40), frames)


def test_a_resumed_session_gives_the_same_frames(avatar, build):
    states = []
    frames = video(avatar, 70, on_state=states.append)
    assert [state.chunk_index for state in states] == [1, 2]
    for state in states:
        start = 28 * state.chunk_index
        assert torch.equal(video(build(), 70, state), frames[start:])


def test_a_state_of_another_portrait_is_refused(avatar, build):
    states = []
    video(avatar, 30, on_state=states.append)
    with pytest.raises(InvalidInputError, match="other settings"):
        video(build(portrait(1)), 60, states[0])


def test_each_chunk_hears_its_own_window_with_context_on_both_sides(build, checkpoint):
    reads = []

    class Recorded(Samples):
        def read(self, start, stop):
            reads.append((start, stop))
            return super().read(start, stop)

    avatar = build(sound=Recorded())
    heard = [avatar.hear(chunk_span(index, avatar.chunk)) for index in range(3)]
    assert reads == [(640 * (28 * k - 89), 640 * (28 * k + 111)) for k in range(3)]
    dit = checkpoint.config.dit
    shape = (1, 33, dit.audio_window, dit.audio_blocks, dit.audio_channels)
    assert {part.shape for part in heard} == {shape}


def test_the_last_heard_frame_knows_what_follows_it(avatar):
    """The window of five features around it reaches two frames beyond the chunk."""
    heard = avatar.hear(chunk_span(1, avatar.chunk))[0]
    # Column c of a row is the feature of frame row + c - 2.
    assert torch.equal(heard[-1, 1], heard[-2, 2])
    assert torch.equal(heard[-1, 0], heard[-3, 2])
    assert not torch.equal(heard[-1, 3], heard[-1, 2])
    assert not torch.equal(heard[-1, 4], heard[-1, 3])


def test_chunks_overlap_in_what_they_hear(avatar):
    """Motion frames of a chunk hear what they heard at the end of the one before."""
    chunk = avatar.chunk
    first, second = chunk_span(1, chunk), chunk_span(2, chunk)
    overlap = [frame for frame in second.heard if frame in first.heard]
    assert len(overlap) == chunk.num_motion_frames
    assert first.window.start < first.heard.start
    assert first.heard.stop < first.window.stop


def test_rendering_can_be_stopped_before_a_step(avatar):
    def stop(step):
        raise KeyboardInterrupt("stopped on request")

    with pytest.raises(KeyboardInterrupt):
        video(replace(avatar, before_step=stop), 10)
    assert avatar.before_step is None


def test_fingerprint_tells_settings_apart(avatar, build):
    others = [
        build(portrait(1)),
        build(prompt="bye"),
        build(name="another sound"),
        build(seed=5),
        build(mouth_strength=0.5),
        build(size_px=(32, 48)),
    ]
    assert build().fingerprint == avatar.fingerprint
    assert len({avatar.fingerprint, *(other.fingerprint for other in others)}) == 1 + len(others)


def test_fingerprint_tells_shapes_apart():
    grey = torch.zeros(3, 32, 48)
    assert fingerprint(grey) != fingerprint(grey.transpose(1, 2))
    assert fingerprint(grey, steps=1) != fingerprint(grey, steps=2)


def test_unusual_sizes_warn(build, checkpoint, caplog):
    build(size_px=(32, 48))
    assert f"size 32x48: {checkpoint.config.name} is known to work at " in caplog.text
    caplog.clear()
    known = replace(checkpoint.config, known_sizes_px=((32, 48),))
    warn_about_size(replace(checkpoint, config=known), (32, 48))
    assert caplog.text == ""


@pytest.mark.parametrize("size_px", [(30, 32), (32, 16), (4096, 32), (0, 0)])
def test_impossible_sizes_are_refused_before_anything_is_built(size_px):
    with pytest.raises(InvalidInputError, match="try"):
        AvatarRequest(picture=portrait(), prompt="", size_px=size_px, sampling=SamplingConfig())
