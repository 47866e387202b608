"""Two speakers: masks, attention to them, places on the speaker axis."""

import pytest
import torch

from flashtalk_core.models.transformer.rope import position_rotation
from flashtalk_core.models.transformer.speakers import (
    SpeakerMasks,
    key_rotation,
    query_rotation,
    reference_attention,
    token_masks,
)

pytestmark = pytest.mark.cpu


def random_queries(num_tokens, num_heads, head_dim=6):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, num_tokens, num_heads, head_dim, generator=generator) for _ in "qk"]


def dense_attention(q, k, masks):
    """Mean over heads and mask of the softmax over the first frame's keys."""
    keys = k[0, : masks.shape[1]]
    scores = torch.einsum("lnd,rnd->nlr", q[0], keys) / q.shape[-1] ** 0.5
    per_class = [scores.softmax(-1)[..., mask.bool()].mean(-1) for mask in masks]
    return torch.stack(per_class).mean(dim=1)


MASKS = torch.tensor([[1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0], [0, 0, 1, 0, 1, 1.0]])


def test_speaker_masks_become_zeros_and_ones_on_tokens():
    masks = torch.zeros(2, 8, 12)
    masks[0, :4, :6] = 255
    masks[1] = 0.2
    tokens = token_masks(masks, (3, 2, 2))
    assert tokens.tolist() == [[1, 0, 0, 0], [1, 1, 1, 1]]


def test_attention_to_the_masks_is_that_of_all_heads_at_once():
    q, k = random_queries(12, 4)
    found = reference_attention(q, k, SpeakerMasks(MASKS))
    torch.testing.assert_close(found, dense_attention(q, k, MASKS))


def test_the_last_of_an_odd_number_of_heads_is_left_out():
    q, k = random_queries(12, 3)
    expected = dense_attention(q[:, :, :2], k[:, :, :2], MASKS)
    torch.testing.assert_close(reference_attention(q, k, SpeakerMasks(MASKS)), expected)


def test_each_token_follows_the_speaker_it_attends_to_most():
    attention = torch.tensor(
        [[0.9, 0.1, 0.5, 0.5], [0.2, 0.8, 0.1, 0.45], [0.0, 0.0, 0.9, 0.0]],
    )
    # Strongest on speaker 1, strongest on speaker 2, background, halfway on speaker 1.
    positions = torch.tensor([4.0, 24.0, 12.0, 2.0])
    torch.testing.assert_close(query_rotation(attention, 8), position_rotation(positions, 8))


def test_each_track_speaks_from_the_middle_of_its_range():
    expected = position_rotation(torch.tensor([2.0, 2.0, 22.0, 22.0]), 8)
    torch.testing.assert_close(key_rotation(4, 8, torch.device("cpu")), expected)
