import pytest
import torch

from flashtalk_training.losses import flow_matching_loss, noisy_latent
from flashtalk_training.recipe import VAERecipe
from flashtalk_training.stage_1.audio_trainer import correlation
from flashtalk_training.stage_1.vae_trainer import divergence, picture_loss, psnr_db, weight_map

pytestmark = pytest.mark.training


def test_noisy_latent_is_data_at_level_0_and_noise_at_level_1():
    clean, noise = torch.randn(2, 16, 3, 2, 2), torch.randn(2, 16, 3, 2, 2)
    mixed = noisy_latent(clean, noise, torch.tensor([0.0, 1.0]))
    assert torch.equal(mixed[0], clean[0])
    assert torch.equal(mixed[1], noise[1])


def test_flow_matching_loss_matches_a_hand_computed_case():
    clean = torch.zeros(1, 1, 2, 1, 1)
    noise = torch.tensor([1.0, 2.0]).view(1, 1, 2, 1, 1)
    velocity = torch.tensor([0.0, 5.0]).view(1, 1, 2, 1, 1)
    weights = torch.tensor([1.0, 3.0]).view(1, 1, 2, 1, 1)
    # Errors 1 and 9, weighed 1 to 3.
    assert flow_matching_loss(velocity, clean, noise, weights).item() == pytest.approx(28 / 4)


def test_flow_matching_loss_gives_motion_latents_no_gradient():
    velocity = torch.randn(2, 16, 3, 2, 2, requires_grad=True)
    weights = torch.ones(1, 1, 3, 1, 1)
    weights[:, :, 0] = 0
    clean, noise = torch.randn(2, 16, 3, 2, 2), torch.randn(2, 16, 3, 2, 2)
    flow_matching_loss(velocity, clean, noise, weights).backward()
    assert velocity.grad[:, :, 0].abs().max() == 0
    assert velocity.grad[:, :, 1:].abs().min() > 0


def test_picture_loss_and_divergence_match_hand_computed_cases():
    video = torch.zeros(1, 3, 1, 2, 2)
    output = video.clone()
    output[..., 0, 0] = 1.0
    moments = torch.zeros(1, 4, 1, 1, 1)
    moments[:, :2] = 2.0
    terms = picture_loss(output, video, torch.ones(1, 1, 1, 2, 2))
    assert terms.pixels.item() == pytest.approx(1 / 4)
    # One of two neighbouring pairs differs by one, across and down.
    assert terms.edges.item() == pytest.approx(1 / 2 + 1 / 2)
    # Mean 2 and log variance 0: half of 4.
    assert divergence(moments).item() == pytest.approx(2.0)


def test_weight_map_has_mean_one_and_favours_first_frame_and_mouth():
    weights = weight_map(5, 64, 64, VAERecipe())
    assert weights.mean().item() == pytest.approx(1.0)
    assert weights[0, 0, 0, 0, 0] == pytest.approx(3 * weights[0, 0, 1, 0, 0].item())
    assert weights[0, 0, 1, 44, 32] == pytest.approx(4 * weights[0, 0, 1, 0, 0].item())


def test_psnr_of_a_tenth_of_the_range_is_20_db():
    video = torch.zeros(2, 3, 4, 8, 8)
    assert psnr_db(video + 0.2, video).tolist() == pytest.approx([20.0] * 4, abs=1e-4)


def test_correlation_of_shifted_and_scaled_tracks_is_one():
    track = torch.tensor([0.0, 1.0, 0.0, 2.0])
    assert correlation(track, 3 * track + 5).item() == pytest.approx(1.0)
    assert correlation(track, -track).item() == pytest.approx(-1.0)
