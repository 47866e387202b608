"""Losses of Stage 2 against cases computed by hand."""

import pytest
import torch

from flashtalk_training.losses import (
    anchor_loss,
    guided,
    matching_loss,
    mean_anchor_loss,
    predicted_data,
)

pytestmark = pytest.mark.training


def latents(*values):
    return torch.tensor(values).view(1, 1, -1, 1, 1)


def test_data_is_what_the_velocity_leads_to():
    data = predicted_data(latents(3.0, -1.0), latents(2.0, 4.0), torch.tensor([0.5]))
    assert data.flatten().tolist() == [2.0, -3.0]


def test_guidance_weighs_prompt_and_audio_apart():
    nothing, no_text, full = torch.tensor(1.0), torch.tensor(2.0), torch.tensor(4.0)
    assert guided(nothing, no_text, full, 3.0, 4.0).item() == 1 + 3 * 2 + 4 * 1
    assert guided(nothing, no_text, full, 1.0, 1.0).item() == 4


@pytest.fixture
def case():
    """One motion latent and two new ones; new ones lie 1.5 from the teacher on average."""
    data, real, fake = latents(1.0, 2.0, 3.0), latents(0.0, 1.0, 5.0), latents(2.0, 2.0, 2.0)
    return data.requires_grad_(), real.requires_grad_(), fake.requires_grad_()


def test_new_latents_follow_the_score_difference_and_motion_latents_the_teacher(case):
    data, real, fake = case
    loss = matching_loss(data, real, fake, num_motion=1)
    # New: (1, -3) / 1.5; motion: (1 - 0) / 1, weighted by 1 / 2.
    new = 0.5 * ((1 / 1.5) ** 2 + 2**2) / 2
    assert loss.item() == pytest.approx(new + 0.5 * 0.5 * 1)
    loss.backward()
    assert data.grad.flatten().tolist() == pytest.approx([0.5, 1 / 1.5 / 2, -2 / 2])


def test_neither_teacher_nor_critic_gets_a_gradient(case):
    data, real, fake = case
    matching_loss(data, real, fake, num_motion=1).backward()
    assert real.grad is None
    assert fake.grad is None


def test_without_alignment_motion_latents_are_left_out_exactly(case):
    data, real, fake = case
    loss = matching_loss(data, real, fake, num_motion=1, align_motion=False)
    loss.backward()
    assert data.grad.flatten().tolist() == pytest.approx([0.0, 1 / 1.5 / 2, -2 / 2])


def test_each_sample_is_scaled_by_its_own_distance():
    near, far = (latents(0.0, 0.0), latents(0.0, 0.0)), (latents(0.0, 0.1), latents(0.0, 10.0))
    data = torch.cat(near).requires_grad_()
    real, fake = torch.cat(far), torch.zeros(2, 1, 2, 1, 1)
    matching_loss(data, real, fake, num_motion=1, align_motion=False).backward()
    assert data.grad[:, 0, 1].flatten().tolist() == pytest.approx([-0.5, -0.5])


def test_the_anchor_holds_the_mean_over_time_where_the_mask_says():
    # Two cells; the first latent is a motion latent. Means of the new ones: 2 and 5.
    data = torch.tensor([[9.0, 9.0], [1.0, 4.0], [3.0, 6.0]]).view(1, 1, 3, 1, 2).requires_grad_()
    # The first latent of a still clip is another one, and counts as little.
    still = torch.tensor([[7.0, 7.0], [1.0, 1.0], [1.0, 1.0]]).view(1, 1, 3, 1, 2)
    both = anchor_loss(data, still, 1, torch.tensor([[1.0, 1.0]]))
    assert both.item() == pytest.approx((1**2 + 4**2) / 2)
    first = anchor_loss(data, still, 1, torch.tensor([[1.0, 0.0]]))
    assert first.item() == pytest.approx(1)
    first.backward()
    # d/dx of ((x1 + x2) / 2 - 1)^2 at (1, 3) is 1 for both.
    assert data.grad.flatten().tolist() == pytest.approx([0, 0, 1, 0, 1, 0])


def test_an_anchor_may_weigh_each_session_by_itself():
    data = torch.tensor([[2.0, 5.0], [3.0, 7.0]]).view(2, 1, 1, 1, 2)
    mask = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    found = anchor_loss(data, torch.zeros_like(data), 0, mask)
    assert found.item() == pytest.approx((2**2 + 7**2) / 2)


def test_the_mean_anchor_counts_each_sessions_mean_and_no_more():
    # Means over the weighted cells: 2 and (6 + 3 * 2) / 4.
    data = torch.tensor([[5.0, -1.0], [6.0, 2.0]]).view(2, 1, 1, 1, 2).requires_grad_()
    mask = torch.tensor([[[1.0, 1.0]], [[1.0, 3.0]]])
    found = mean_anchor_loss(data, torch.zeros_like(data), 0, mask)
    assert found.item() == pytest.approx((2**2 + 3**2) / 2)
    found.backward()
    assert data.grad.flatten().tolist() == pytest.approx([1.0, 1.0, 0.75, 2.25])
