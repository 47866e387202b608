"""The chunk loop: motion, state, noise, and frames as they are decoded."""

import itertools
from dataclasses import replace

import pytest
import torch

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.config.sampling import SamplingConfig
from flashtalk_core.engine.chunk import generate_chunk
from flashtalk_core.engine.events import EventHandlers
from flashtalk_core.engine.state import SessionState
from flashtalk_core.errors import OverflowedError
from flashtalk_core.media.image.colour import ColourReference

pytestmark = pytest.mark.cpu

PLAIN = SamplingConfig(steps=2, colour_strength=0.0)


def record_calls(module, kind="forward_pre"):
    """Record the inputs of every call of ``module`` until the hook is removed."""
    calls = []
    if kind == "forward_pre":
        hook = module.register_forward_pre_hook(lambda _, inputs: calls.append(inputs[0].clone()))
    else:
        hook = module.register_forward_hook(lambda _, inputs, out: calls.append(out.clone()))
    return calls, hook


@pytest.mark.parametrize(("frames", "motion"), [(13, 5), (13, 1), (17, 9), (17, 13)])
def test_a_chunk_shows_its_new_frames_in_groups_of_four(make_toy, frames, motion):
    toy = make_toy(ChunkConfig(num_frames=frames, num_motion_frames=motion))
    state, shown = SessionState(), []
    for _ in range(2):
        chunk = generate_chunk(toy.model, toy.reference, toy.windows(), state, PLAIN)
        groups = list(chunk)
        shapes = [group.frames.shape for group in groups]
        assert shapes == [(3, 4, 32, 48)] * ((frames - motion) // 4)
        assert [group.state for group in groups[:-1]] == [None] * (len(groups) - 1)
        state = groups[-1].state
        shown.append(torch.cat([group.frames for group in groups], dim=1))
    assert state.chunk_index == 2
    assert state.motion_frames.shape == (1, 3, motion, 32, 48)
    num_both = min(motion, frames - motion)
    assert torch.equal(state.motion_frames[0, :, -num_both:], shown[1][:, -num_both:])


def test_denoising_never_touches_the_motion_latents(toy):
    _, state = toy.run(sampling=PLAIN)
    calls, hook = record_calls(toy.dit)
    decoded, decoder_hook = record_calls(toy.vae.conv2)
    toy.run(state, replace(PLAIN, steps=4))
    hook.remove()
    decoder_hook.remove()
    with torch.no_grad():
        motion = toy.vae.encode(state.motion_frames)
    assert len(calls) == 4
    assert all(torch.equal(latent[:, :, :2], motion) for latent in calls)
    kept = toy.vae.normalise(torch.cat(decoded[:2], dim=2))
    torch.testing.assert_close(kept, motion, atol=1e-5, rtol=1e-5)


def test_the_first_chunk_starts_from_the_portrait_alone(toy):
    calls, hook = record_calls(toy.dit)
    toy.run(sampling=PLAIN)
    hook.remove()
    portrait = toy.reference.motion_latent
    assert torch.equal(calls[0][:, :, :1], portrait)
    assert not torch.allclose(calls[0][:, :, 1:2], portrait, atol=0.1)


def test_a_saved_state_continues_as_if_never_interrupted(toy, tmp_path):
    frames0, state0 = toy.run(audio=1)
    frames1, state1 = toy.run(state0, audio=2)
    torch.save({"index": state0.chunk_index, "motion": state0.motion_frames}, tmp_path / "state")
    saved = torch.load(tmp_path / "state", weights_only=True)
    toy.run(audio=3)
    resumed = SessionState(chunk_index=saved["index"], motion_frames=saved["motion"])
    again, state = toy.run(resumed, audio=2)
    assert torch.equal(again, frames1)
    assert torch.equal(state.motion_frames, state1.motion_frames)
    assert not torch.allclose(frames0, frames1, atol=1e-3)


def test_the_state_that_went_in_is_unchanged(toy):
    _, state = toy.run()
    before = state.motion_frames.clone()
    _, later = toy.run(state)
    assert torch.equal(state.motion_frames, before)
    assert (state.chunk_index, later.chunk_index) == (1, 2)


def test_the_fingerprint_is_handed_on(toy):
    _, state = toy.run(SessionState(fingerprint="abc"))
    assert state.fingerprint == "abc"


def test_seed_and_chunk_decide_the_noise(toy):
    calls, hook = record_calls(toy.dit)
    for seed, chunk in ((1, 0), (1, 0), (2, 0), (1, 1)):
        toy.run(SessionState(chunk_index=chunk), replace(PLAIN, steps=1, seed=seed))
    hook.remove()
    noise = [latent[:, :, 1:] for latent in calls]
    assert torch.equal(noise[0], noise[1])
    for a, b in itertools.combinations(noise[1:], 2):
        assert not torch.allclose(a, b, atol=0.1)


def test_rendering_may_stop_before_any_step(toy):
    def stop_before_third(step):
        if step == 2:
            raise KeyboardInterrupt("stopped on request")

    calls, hook = record_calls(toy.dit)
    with pytest.raises(KeyboardInterrupt):
        toy.run(sampling=replace(PLAIN, steps=4), events=EventHandlers(step=stop_before_third))
    hook.remove()
    assert len(calls) == 2


def test_the_first_frames_arrive_before_the_last_are_decoded(toy):
    decoded, hook = record_calls(toy.vae.decoder)
    chunk = generate_chunk(toy.model, toy.reference, toy.windows(), SessionState(), PLAIN)
    assert not decoded
    next(chunk)
    # Two latents are motion, the third is shown, the fourth is still to come.
    assert len(decoded) == 3
    next(chunk)
    hook.remove()
    assert len(decoded) == 4


def test_gradients_are_off_inside_and_on_between_frames(toy):
    chunk = generate_chunk(toy.model, toy.reference, toy.windows(), SessionState(), PLAIN)
    assert not next(chunk).frames.requires_grad
    assert torch.is_grad_enabled()


def test_shown_frames_have_the_portraits_colours(toy):
    frames, state = toy.run(sampling=replace(PLAIN, colour_strength=1.0))
    plain, _ = toy.run(sampling=PLAIN)
    wanted = ColourReference.from_image(toy.image).mean

    def distance(shown):
        means = [ColourReference.from_image(frame).mean for frame in shown.unbind(1)]
        return float((torch.stack(means) - wanted).abs().max())

    assert distance(frames) < 0.25 * distance(plain)
    # What is handed on is corrected too.
    assert torch.equal(state.motion_frames[0, :, -4:], frames[:, -4:])


def test_mouth_strength_zero_takes_the_audio_away(toy):
    silent = replace(PLAIN, mouth_strength=0.0)
    assert torch.equal(toy.run(sampling=silent, audio=1)[0], toy.run(sampling=silent, audio=2)[0])
    assert not torch.equal(toy.run(sampling=PLAIN, audio=1)[0], toy.run(sampling=PLAIN, audio=2)[0])


def test_the_rules_lead_to_different_frames(toy):
    renoised, _ = toy.run(sampling=PLAIN)
    followed, _ = toy.run(sampling=replace(PLAIN, rule="euler"))
    assert not torch.allclose(renoised, followed, atol=1e-3)


def test_half_precision_models_take_float32_steps(make_toy):
    toy = make_toy(ChunkConfig(num_frames=13, num_motion_frames=5), torch.bfloat16)
    calls, hook = record_calls(toy.dit)
    frames, state = toy.run(sampling=PLAIN)
    toy.run(state, PLAIN)
    hook.remove()
    assert {latent.dtype for latent in calls} == {torch.float32}
    assert frames.dtype == state.motion_frames.dtype == torch.float32
    assert frames.isfinite().all()


BAD = [float("nan"), float("inf"), -float("inf")]


def spoil(module, call, value):
    """Put one bad value into what ``module`` returns at its ``call``-th call from now on."""
    count = 0

    def hook(_module, _inputs, out):
        nonlocal count
        count += 1
        if count == call:
            out.select(-1, 0).select(-1, 0).fill_(value)

    return module.register_forward_hook(hook)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("value", BAD)
def test_values_that_are_no_images_are_never_handed_on(toy, value, strength):
    hook = spoil(toy.vae.decoder, 4, value)  # two latents are motion, the third is shown
    sampling = replace(PLAIN, colour_strength=strength)
    chunk = generate_chunk(
        toy.model, toy.reference, toy.windows(), SessionState(chunk_index=2), sampling
    )
    shown = []
    try:
        with pytest.raises(
            OverflowedError, match=r"^chunk 3: the VAE's images are NaN or infinite; use another"
        ):
            shown.extend(chunk)
    finally:
        hook.remove()
    assert [group.frames.shape[1] for group in shown] == [4]
    assert all(group.frames.isfinite().all() for group in shown)


@pytest.mark.parametrize("value", BAD)
def test_hidden_frames_of_a_chunk_are_looked_at_too(toy, value):
    hook = spoil(toy.vae.decoder, 1, value)
    try:
        with pytest.raises(OverflowedError, match="images are NaN"):
            toy.run(sampling=PLAIN)
    finally:
        hook.remove()


@pytest.mark.parametrize("value", BAD)
def test_motion_that_is_no_number_draws_no_chunk(toy, value):
    _, state = toy.run(sampling=PLAIN)
    hook = spoil(toy.vae.conv1, 1, value)
    calls, counting = record_calls(toy.dit)
    try:
        with pytest.raises(OverflowedError, match=r"^chunk 2: the VAE's latents are NaN or infin"):
            toy.run(state, PLAIN)
    finally:
        hook.remove()
        counting.remove()
    assert not calls


@pytest.mark.parametrize("value", BAD)
def test_noise_with_nan_is_reported(toy, value):
    def draw(shape, device, dtype):
        return torch.full(shape, value, device=device, dtype=dtype)

    with pytest.raises(OverflowedError, match=r"^chunk 1: the model's output is NaN or infinite"):
        toy.run(sampling=PLAIN, draw_noise=draw)
