"""What is prepared once for a portrait."""

import pytest
import torch

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.engine.reference import encode_condition, image_mask

pytestmark = pytest.mark.cpu


def test_the_mask_is_one_on_the_portraits_frame_only():
    mask = image_mask(33, 3, 2)
    assert mask.shape == (1, 4, 9, 3, 2)
    assert mask[:, :, 0].eq(1).all()
    assert mask[:, :, 1:].eq(0).all()


def test_the_condition_is_the_mask_and_the_portrait_before_blank_frames(toy):
    portrait = toy.image[None, :, None]
    clip = torch.cat([portrait, torch.zeros(1, 3, 12, 32, 48)], dim=2)
    with torch.no_grad():
        condition = encode_condition(toy.vae, portrait, 13)
        expected = toy.vae.encode(clip)
    assert condition.shape == (1, 20, 4, 4, 6)
    assert torch.equal(condition[:, :4], image_mask(13, 4, 6))
    assert torch.equal(condition[:, 4:], expected)


def test_two_portraits_can_share_a_batch(toy):
    portraits = torch.stack([toy.image, -toy.image])[:, :, None]
    with torch.no_grad():
        both = encode_condition(toy.vae, portraits, 5)
        alone = encode_condition(toy.vae, portraits[1:], 5)
    torch.testing.assert_close(both[1:], alone, atol=1e-5, rtol=1e-5)


def test_prompt_and_image_are_projected_for_every_block(toy):
    session = toy.reference.session
    with torch.no_grad():
        expected = toy.dit.project_session(
            session.condition, toy.context[None], toy.clip_tokens
        ).blocks[0]
    assert len(session.blocks) == toy.dit.config.num_layers
    assert torch.equal(session.blocks[0].text[0], expected.text[0])
    assert torch.equal(session.blocks[0].image[1], expected.image[1])


def test_the_first_motion_latent_is_the_encoded_portrait(toy):
    with torch.no_grad():
        expected = toy.vae.encode(toy.image[None, :, None])
    assert torch.equal(toy.reference.motion_latent, expected)


def test_all_parts_of_the_reference_have_the_models_dtype(make_toy):
    reference = make_toy(ChunkConfig(num_frames=5, num_motion_frames=1), torch.bfloat16).reference
    assert reference.session.condition.dtype == torch.bfloat16
    assert reference.session.blocks[0].image[0].dtype == torch.bfloat16
    assert reference.motion_latent.dtype == torch.bfloat16
