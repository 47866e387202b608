"""Both step rules and the loop, against numbers worked out by hand."""

import pytest
import torch

from flashtalk_core.sampling.step import denoise, euler_step, renoise_step

pytestmark = pytest.mark.cpu

LEVELS = torch.tensor([1.0, 0.5, 0.0])


def full(value, frames=2):
    return torch.full((1, 1, frames, 1, 1), float(value))


def test_renoising_goes_to_the_data_and_back_up():
    # x0 = 3 - 0.8 * 2 = 1.4; 0.75 * 1.4 + 0.25 * 10 = 3.55
    x = renoise_step(full(3), full(2), 0.8, 0.25, lambda: full(10))
    torch.testing.assert_close(x, full(3.55))


def test_renoising_to_zero_is_the_data_and_draws_nothing():
    def draw():
        raise AssertionError

    torch.testing.assert_close(renoise_step(full(3), full(2), 0.8, 0.0, draw), full(1.4))


def test_euler_follows_the_velocity():
    # 3 - (0.8 - 0.25) * 2 = 1.9
    torch.testing.assert_close(euler_step(full(3), full(2), 0.8, 0.25), full(1.9))


@pytest.mark.parametrize(
    # Noise 1, 2, ...; velocity x / 2 at both steps; motion 7 in the first of two frames.
    # renoise: x0 = 1 - 0.5 = 0.5; 0.25 + 0.5 * 2 = 1.25; data 1.25 - 0.5 * 0.625 = 0.9375.
    # euler: 1 - 0.5 * 0.5 = 0.75; 0.75 - 0.5 * 0.375 = 0.5625.
    ("rule", "expected"),
    [("renoise", 0.9375), ("euler", 0.5625)],
)
def test_denoising_matches_a_hand_computed_case(rule, expected):
    noise = iter([full(1), full(2)])
    result = denoise(lambda x, level: x / 2, LEVELS, full(7, 1), rule, lambda: next(noise))
    assert result.flatten().tolist() == pytest.approx([7, expected])


@pytest.mark.parametrize("rule", ["renoise", "euler"])
def test_motion_is_clean_before_every_step_and_at_the_end(rule):
    seen = []

    def predict(x, level):
        seen.append((level, x.flatten().tolist()))
        return x * 3

    result = denoise(predict, LEVELS, full(7, 1), rule, lambda: full(1))
    assert [level for level, _ in seen] == [1.0, 0.5]
    assert [x[0] for _, x in seen] == [7, 7]
    assert float(result[0, 0, 0]) == 7
    assert float(result[0, 0, 1]) != 7


def test_denoising_does_not_modify_the_motion_latents():
    motion = full(7, 1)
    denoise(lambda x, level: x, LEVELS, motion, "euler", lambda: full(1))
    assert torch.equal(motion, full(7, 1))


def test_a_prediction_that_raises_stops_the_loop():
    calls = []

    def predict(x, level):
        calls.append(level)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        denoise(predict, LEVELS, full(7, 1), "renoise", lambda: full(1))
    assert calls == [1.0]
