"""The transformer as a whole: batches, padding, float32 where it matters, mouth strength."""

import math

import pytest
import torch
from torch import nn

from flashtalk_core.config.networks import DiTConfig
from flashtalk_core.models.transformer.model import AvatarDiT, sinusoidal_embedding

pytestmark = pytest.mark.cpu

CONFIG = DiTConfig(
    dim=48, ffn_dim=64, freq_dim=32, text_dim=20, text_len=9, num_heads=4, num_layers=2,
    audio_blocks=2, audio_channels=6, audio_intermediate_dim=10, audio_output_dim=14,
    audio_context_tokens=4, clip_dim=12, clip_tokens=5,
)  # fmt: skip
TIME = torch.tensor([750.0])


@pytest.fixture(scope="module")
def dit():
    torch.manual_seed(0)
    return AvatarDiT(CONFIG).eval()


def make_inputs(batch=1, seed=0, text_tokens=6):
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "latent": (16, 3, 4, 6),
        "condition": (20, 3, 4, 6),
        "text": (text_tokens, 20),
        "clip": (5, 12),
        "audio": (9, 5, 2, 6),
    }
    return {k: torch.randn(batch, *shape, generator=generator) for k, shape in shapes.items()}


@torch.no_grad()
def run(dit, inputs, timestep=TIME, strength=1.0):
    dtype = dit.patch_embedding.weight.dtype
    cast = {key: value.to(dtype) for key, value in inputs.items()}
    session = dit.project_session(cast["condition"], cast["text"], cast["clip"])
    audio = dit.project_audio(cast["audio"], strength)
    return dit(inputs["latent"], timestep, session, audio)


def test_velocity_has_the_latents_shape(dit):
    inputs = make_inputs()
    velocity = run(dit, inputs)
    assert velocity.shape == inputs["latent"].shape
    assert velocity.dtype == torch.float32


def test_a_batch_of_two_equals_two_of_one(dit):
    inputs = make_inputs(batch=2)
    times = torch.tensor([937.5, 250.0])
    both = run(dit, inputs, times)
    for i in range(2):
        alone = run(dit, {k: v[i : i + 1] for k, v in inputs.items()}, times[i : i + 1])
        torch.testing.assert_close(both[i : i + 1], alone, atol=2e-6, rtol=1e-5)


def test_prompts_of_two_lengths_share_a_batch(dit):
    short, long = make_inputs(seed=1, text_tokens=3), make_inputs(seed=2, text_tokens=7)
    padded = nn.functional.pad(short["text"], (0, 0, 0, 4))
    both = {k: torch.cat([short[k], long[k]]) for k in short if k != "text"}
    both["text"] = torch.cat([padded, long["text"]])
    velocity = run(dit, both, TIME.expand(2))
    torch.testing.assert_close(velocity[:1], run(dit, short), atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(velocity[1:], run(dit, long), atol=2e-6, rtol=1e-5)


def test_padding_of_the_prompt_is_attended_to(dit):
    inputs = make_inputs()
    with torch.no_grad():
        session = dit.project_session(*(inputs[k] for k in ("condition", "text", "clip")))
    padding = session.blocks[0].text[1][:, 6:]
    assert padding.shape[1] == 3
    assert float(padding.abs().max()) > 0


def test_without_strength_the_audio_does_not_matter(dit):
    first, second = make_inputs(), make_inputs()
    second["audio"] = make_inputs(seed=5)["audio"]
    assert torch.equal(run(dit, first, strength=0.0), run(dit, second, strength=0.0))
    assert not torch.allclose(run(dit, first), run(dit, second), atol=1e-4)


def test_strength_scales_the_audio_tokens(dit):
    inputs = make_inputs()
    with torch.no_grad():
        tokens = dit.audio_proj(inputs["audio"]) * 2
        expected = dit.blocks[1].audio_cross_attn.project(tokens, 1)
        keys, values = dit.project_audio(inputs["audio"], 2.0).blocks[1]
    assert torch.equal(keys, expected[0])
    assert torch.equal(values, expected[1])


def test_time_stays_float32_with_half_precision_weights(dit):
    half = AvatarDiT(CONFIG).bfloat16()
    half.load_state_dict(dit.state_dict())
    wide = AvatarDiT(CONFIG)
    wide.load_state_dict(half.state_dict())
    seen = []
    half.blocks[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1]))
    velocity = run(half, make_inputs(), torch.tensor([833.3333]))
    with torch.no_grad():
        _, expected = wide._embed_time(torch.tensor([833.3333]))
    assert velocity.dtype == seen[0].dtype == torch.float32
    torch.testing.assert_close(seen[0], expected, atol=1e-6, rtol=1e-5)


def test_embedding_of_time_is_cosines_then_sines():
    embedding = sinusoidal_embedding(torch.tensor([0.0, 833.3333]), 4)
    angles = [833.3333, 833.3333 / 100]
    expected = [[1, 1, 0, 0], [*map(math.cos, angles), *map(math.sin, angles)]]
    torch.testing.assert_close(embedding, torch.tensor(expected), atol=1e-5, rtol=0)


def test_norms_outside_the_blocks_have_the_authors_epsilons(dit):
    assert dit.head.norm.eps == 1e-6
    assert {dit.img_emb.proj[0].eps, dit.img_emb.proj[4].eps, dit.audio_proj.norm.eps} == {1e-5}


def test_patches_are_laid_out_where_they_were_cut(dit):
    grid = (3, 2, 3)
    video = torch.randn(1, 16, 3, 4, 6)
    # Channels last within a patch, patches in (T, h, w) order.
    cut = video.view(1, 16, 3, 1, 2, 2, 3, 2).permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(1, 18, 64)
    assert torch.equal(dit._unpatchify(cut, grid), video)


def test_two_tracks_are_heard_apart(dit):
    inputs = make_inputs()
    tracks = make_inputs(batch=2, seed=3)["audio"]
    masks = torch.zeros(3, 32, 48)
    masks[0, :, :16], masks[1, :, 32:], masks[2, :, 16:32] = 1, 1, 1
    with torch.no_grad():
        session = dit.project_session(*(inputs[k] for k in ("condition", "text", "clip")))
        velocities = [
            dit(inputs["latent"], TIME, session, dit.project_audio(audio, masks=masks))
            for audio in (tracks, tracks.flip(0))
        ]
    assert not torch.allclose(*velocities, atol=1e-5)
