"""Attention that sees earlier latent frames only."""

import pytest
import torch

from flashtalk_core.models.attention import sdpa
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_training.stage_2.causal import attend_causally, frame_causal

pytestmark = pytest.mark.training


def test_a_frame_sees_itself_and_those_before_it(config):
    torch.manual_seed(0)
    attend = frame_causal(3)
    q, k, v = (torch.randn(1, 12, 2, 8) for _ in range(3))
    before = attend(q, k, v)
    k[:, 4:8], v[:, 4:8] = 0, 9
    after = attend(q, k, v)
    same = (before == after).all(dim=(0, 2, 3))
    assert same.tolist() == [True] * 4 + [False] * 8
    dit = AvatarDiT(config.dit)
    crossing = [block.cross_attn.attention for block in dit.blocks]
    attend_causally(dit, 3)
    assert all(block.self_attn.attention is not sdpa for block in dit.blocks)
    assert crossing == [block.cross_attn.attention for block in dit.blocks]
