"""Roll-outs: what is chained, what is overwritten, and where gradients go."""

import pytest
import torch

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.live.chunks import live_chunk
from flashtalk_core.media.image.colour import ColourReference, match_colours
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_training.stage_2.rollout import (
    Portraits,
    Roller,
    correct_colours,
    decode_clip,
    decode_end,
    encode_clip,
    roll_out,
)
from flashtalk_training.stage_2.rollout_plan import RolloutPlan, draw_plan

pytestmark = pytest.mark.training

LEVELS = (1.0, 0.8, 0.5, 0.0)
WINDOWS = [torch.zeros(2, 9, 1, 1, 1)] * 4


@pytest.fixture(scope="module")
def vae(config):
    torch.manual_seed(0)
    return VideoVAE(config.vae).requires_grad_(False)


@pytest.fixture(scope="module")
def portraits(vae):
    torch.manual_seed(1)
    return Portraits.encode(vae, torch.rand(2, 3, 32, 32) * 2 - 1)


@pytest.fixture
def roller(vae):
    return Roller(
        encode=lambda video: encode_clip(vae, video),
        decode=lambda latent: decode_clip(vae, latent),
        decode_end=lambda latent, count: decode_end(vae, latent, count),
        levels=LEVELS,
        rule="euler",
        num_latents=3,
        num_motion_frames=5,
        colour_strength=1.0,
    )


def draw(shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


class Recorder:
    """A velocity with a parameter of its own for every call."""

    def __init__(self):
        self.scales, self.inputs, self.levels = [], [], []

    def __call__(self, x, level, windows):
        self.inputs.append(x)
        self.levels.append(round(float(level[0]), 4))
        self.scales.append(torch.tensor(0.25, requires_grad=True))
        return self.scales[-1] * x


def test_one_pass_equals_the_pass_in_groups(vae):
    torch.manual_seed(2)
    video = torch.rand(2, 3, 9, 32, 32) * 2 - 1
    latent = vae.encode(video)
    assert torch.allclose(encode_clip(vae, video), latent, atol=1e-4)
    groups = torch.cat(list(vae.decode_groups(latent)), dim=2)
    assert torch.allclose(decode_clip(vae, latent), groups, atol=1e-4)


@pytest.mark.parametrize("count", [1, 5])
def test_the_last_frames_decoded_alone_are_those_of_the_whole_clip(vae, count):
    torch.manual_seed(4)
    latent = torch.randn(2, 16, 9, 4, 4)
    whole = decode_clip(vae, latent)[:, :, -count:]
    assert torch.allclose(decode_end(vae, latent, count), whole, atol=1e-5)


def test_every_session_is_matched_to_its_own_portrait():
    torch.manual_seed(3)
    images, frames = torch.rand(2, 3, 16, 16) * 2 - 1, torch.rand(2, 3, 4, 16, 16) * 2 - 1
    references = [ColourReference.from_image(image) for image in images]
    portraits = Portraits(
        torch.zeros(2, 1, 1, 1, 1),
        torch.stack([reference.mean for reference in references]),
        torch.stack([reference.std for reference in references]),
    )
    for strength in (0.0, 0.5, 1.0):
        each = [
            match_colours(f, reference, strength)
            for f, reference in zip(frames, references, strict=True)
        ]
        together = correct_colours(frames, portraits, strength)
        assert torch.allclose(together, torch.stack(each), atol=1e-5)


def test_the_first_chunk_starts_from_the_portrait_alone(roller, portraits):
    velocity = Recorder()
    rollout = roll_out(roller, velocity, portraits, WINDOWS, RolloutPlan(1, 2), draw)
    assert torch.equal(rollout.motion, portraits.first_motion)
    assert velocity.levels == [1.0, 0.8, 0.5]
    for x in velocity.inputs:
        assert torch.equal(x[:, :, :1], portraits.first_motion)


def test_the_judged_data_is_that_of_the_chosen_step(roller, portraits):
    """One euler step by hand, then the data at the second level."""
    velocity = Recorder()
    rollout = roll_out(roller, velocity, portraits, WINDOWS, RolloutPlan(1, 1), draw)
    first = portraits.first_motion
    x = draw((2, 16, 3, 4, 4))
    x = x - (1.0 - 0.8) * 0.25 * x
    x[:, :, :1] = first
    assert torch.allclose(rollout.data, x - 0.8 * 0.25 * x, atol=1e-6)
    # The motion latents are the model's own prediction: neither overwritten nor the given ones.
    assert torch.allclose(rollout.data[:, :, :1], 0.8 * first, atol=1e-6)


def test_a_later_chunk_goes_on_from_the_last_corrected_frames(roller, portraits, vae):
    velocity = Recorder()
    rollout = roll_out(roller, velocity, portraits, WINDOWS, RolloutPlan(2, 0), draw)
    before = roller.chunk(Recorder(), WINDOWS[0], portraits.first_motion, draw)
    assert torch.equal(before[:, :, :1], portraits.first_motion)
    frames = correct_colours(decode_clip(vae, before), portraits, 1.0)
    assert torch.allclose(rollout.motion, encode_clip(vae, frames[:, :, -5:]), atol=1e-5)
    assert rollout.motion.shape[2] == 2
    assert velocity.levels == [1.0, 0.8, 0.5, 1.0]
    assert torch.equal(velocity.inputs[3][:, :, :2], rollout.motion)


def test_a_session_taken_up_again_goes_on_from_its_own_motion_latents(roller, portraits):
    velocity, start = Recorder(), torch.full((2, 16, 2, 4, 4), 0.5)
    rollout = roll_out(roller, velocity, portraits, WINDOWS, RolloutPlan(1, 1), draw, start=start)
    assert torch.equal(rollout.motion, start)
    for x in velocity.inputs:
        assert torch.equal(x[:, :, :2], start)


def test_the_student_alone_goes_on_from_disturbed_frames(roller, portraits):
    given = []

    def disturb(frames):
        given.append(frames)
        return frames + 0.2

    plain, disturbed = Recorder(), Recorder()
    good = roll_out(roller, plain, portraits, WINDOWS, RolloutPlan(3, 0), draw)
    rollout = roll_out(
        roller, disturbed, portraits, WINDOWS, RolloutPlan(3, 0), draw, disturb=disturb
    )
    # Only before the last chunk, and what is judged against is as if nothing had happened.
    assert [frames.shape[2] for frames in given] == [5]
    assert torch.equal(rollout.motion, good.motion)
    for mine, other in zip(plain.inputs[:-1], disturbed.inputs[:-1], strict=True):
        assert torch.equal(mine, other)
    assert not torch.allclose(plain.inputs[-1][:, :, :2], disturbed.inputs[-1][:, :, :2])


@pytest.mark.parametrize(("plan", "calls"), [((1, 0), 1), ((1, 2), 3), ((3, 1), 8)])
def test_only_the_chosen_step_of_the_last_chunk_has_a_gradient(roller, portraits, plan, calls):
    velocity = Recorder()
    rollout = roll_out(roller, velocity, portraits, WINDOWS, RolloutPlan(*plan), draw)
    assert not rollout.motion.requires_grad
    rollout.data.square().sum().backward()
    assert len(velocity.scales) == calls
    assert [scale.grad is not None for scale in velocity.scales] == [False] * (calls - 1) + [True]


def test_nothing_has_a_gradient_where_the_caller_wants_none(roller, portraits):
    with torch.no_grad():
        rollout = roll_out(roller, Recorder(), portraits, WINDOWS, RolloutPlan(2, 1), draw)
    assert not rollout.data.requires_grad


def test_every_rollout_length_and_step_is_drawn():
    generator = torch.Generator().manual_seed(0)
    plans = {draw_plan(3, 4, generator) for _ in range(300)}
    assert plans == {RolloutPlan(chunks, step) for chunks in (1, 2, 3) for step in range(4)}


def test_every_length_of_chunk_is_drawn_live_and_not():
    generator = torch.Generator().manual_seed(0)
    plans = [draw_plan(1, 1, generator, (33, 17), 0.25) for _ in range(400)]
    assert {plan.num_frames for plan in plans} == {33, 17}
    assert 0.15 < sum(plan.is_live for plan in plans) / 400 < 0.35
    live = RolloutPlan(1, 0, 17, True).chunk_of(ChunkConfig())
    assert live == live_chunk(ChunkConfig(), 17)
    assert RolloutPlan(1, 0).chunk_of(ChunkConfig()) == ChunkConfig()
