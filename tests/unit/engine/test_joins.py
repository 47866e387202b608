"""Joins: the jump between a frame and the same one decoded again is faded out."""

from dataclasses import replace

import pytest
import torch

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.config.sampling import SamplingConfig
from flashtalk_core.engine.chunk import generate_chunk
from flashtalk_core.engine.state import SessionState
from flashtalk_core.models.vae.joins import fade_joins, faded, jump_at, num_faded_frames

pytestmark = pytest.mark.cpu

PLAIN = SamplingConfig(steps=2)
FADED = replace(PLAIN, join_frames=4)


@pytest.mark.parametrize(
    ("frames", "motion", "expected"),
    [(33, 5, 8), (21, 5, 8), (17, 5, 7), (13, 5, 3), (9, 5, 0), (33, 9, 8), (17, 9, 0), (13, 1, 8)],
)
def test_frames_that_the_next_chunk_goes_on_from_are_never_changed(frames, motion, expected):
    chunk = ChunkConfig(num_frames=frames, num_motion_frames=motion)
    assert num_faded_frames(8, chunk) == expected
    assert num_faded_frames(0, chunk) == 0


def test_a_jump_becomes_less_from_frame_to_frame():
    frames = torch.zeros(3, 7, 2, 2)
    found = faded(frames, torch.full((3, 2, 2), 0.4), -2, 4)
    assert found[0, :, 0, 0].tolist() == pytest.approx([0, 0, 0.32, 0.24, 0.16, 0.08, 0])


def test_faded_frames_stay_in_the_range_of_images():
    found = faded(torch.tensor([-0.9, 0.0, 0.9]).view(3, 1, 1, 1), torch.ones(3, 1, 1), 0, 2)
    assert found.flatten().tolist() == pytest.approx([-0.9 + 2 / 3, 2 / 3, 1.0])
    assert faded(torch.zeros(3, 1, 1, 1), torch.full((3, 1, 1), -2.0), 0, 2).min() == -1


@pytest.mark.parametrize("sizes", [(13,), (1, 4, 4, 4), (5, 8), (3, 10), (4, 1, 1, 7)])
def test_groups_of_any_size_are_faded_alike(sizes):
    frames, before = torch.rand(3, 13, 4, 6) - 0.5, torch.rand(3, 4, 6) - 0.5
    jump = jump_at(before, frames[:, 4], frames[:, 5])
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    groups = [
        (start, frames[:, start : start + size]) for start, size in zip(starts, sizes, strict=True)
    ]
    found = list(fade_joins(groups, before, (0, 0), 5, 3))
    assert [start for start, _ in found] == starts
    whole = torch.cat([group for _, group in found], dim=1)
    expected = frames.clone()
    for number, weight in enumerate((0.75, 0.5, 0.25)):
        expected[:, 5 + number] += weight * jump
    torch.testing.assert_close(whole, expected.clamp(-1, 1), atol=1e-6, rtol=0)
    assert torch.equal(whole[:, 8:], frames[:, 8:])
    assert torch.equal(whole[:, :5], frames[:, :5])


@pytest.fixture(scope="module")
def longer(make_toy):
    """A toy with chunks of 12 new frames."""
    return make_toy(ChunkConfig(num_frames=17, num_motion_frames=5))


def decoded_again(toy, state, audio):
    """Return a whole chunk in the portrait's colours, motion frames included."""
    whole = replace(toy.model.chunk, num_motion_frames=1)
    start = replace(state, motion_frames=state.motion_frames)
    model = replace(toy.model, chunk=whole)
    chunk = generate_chunk(model, toy.reference, toy.windows(audio), start, PLAIN)
    return torch.cat([group.frames for group in chunk], dim=1)


def test_the_first_new_frame_goes_on_from_the_shown_one(longer):
    """As it was decoded, but with most of the jump from the hidden frame to the shown one added."""
    before, state = longer.run(sampling=PLAIN)
    plain, _ = longer.run(state, PLAIN, audio=1)
    found, _ = longer.run(state, FADED, audio=1)
    hidden = decoded_again(longer, state, 1)[:, 3]  # frame 0 is hidden there, too
    assert (before[:, -1] - hidden).abs().mean() > 1e-3
    jump = before[:, -1] - hidden + 0.1 * (hidden - plain[:, 0])
    for number, weight in enumerate((0.8, 0.6, 0.4, 0.2)):
        expected = (plain[:, number] + weight * jump).clamp(-1, 1)
        torch.testing.assert_close(found[:, number], expected, atol=1e-5, rtol=0)
    assert torch.equal(found[:, 4:], plain[:, 4:])


def test_later_chunks_do_not_notice(longer):
    """The state is the same, and so is every frame but the first ones of each chunk."""
    states = [SessionState(), SessionState()]
    for audio in range(3):
        pairs = [longer.run(states[0], PLAIN, audio), longer.run(states[1], FADED, audio)]
        states = [state for _, state in pairs]
        assert torch.equal(states[0].motion_frames, states[1].motion_frames)
        plain, found = (frames for frames, _ in pairs)
        assert torch.equal(found[:, 4:], plain[:, 4:])
        assert torch.equal(found[:, :4], plain[:, :4]) == (audio == 0)


def test_short_chunks_fade_over_what_is_left(toy):
    """8 new frames, of which the next chunk goes on from 5."""
    _, state = toy.run(sampling=PLAIN)
    plain, expected = toy.run(state, PLAIN, audio=1)
    found, after = toy.run(state, replace(PLAIN, join_frames=25), audio=1)
    assert torch.equal(after.motion_frames, expected.motion_frames)
    assert torch.equal(found[:, 3:], plain[:, 3:])
    changed = (found - plain).abs().mean(dim=(0, 2, 3))
    assert (changed[:3] > 1e-4).all()


@pytest.mark.parametrize("num_latents", [2, 3, 5])
def test_frames_decoded_together_are_faded_as_those_decoded_one_by_one(longer, num_latents):
    _, state = longer.run(sampling=FADED)
    expected, _ = longer.run(state, FADED)
    together = replace(longer, model=replace(longer.model, num_decode_latents=num_latents))
    found, _ = together.run(state, FADED)
    torch.testing.assert_close(found, expected, atol=3e-4, rtol=0)


def test_a_resumed_session_fades_as_if_never_interrupted(longer):
    """All that is needed is in the state, wherever it comes from."""
    _, state = longer.run(sampling=FADED)
    expected, _ = longer.run(state, FADED, audio=2)
    longer.run(sampling=FADED, audio=3)
    again = SessionState(state.chunk_index, state.motion_frames.clone())
    found, _ = longer.run(again, FADED, audio=2)
    assert torch.equal(found, expected)
