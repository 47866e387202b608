import pytest
import torch

from flashtalk_training.drawn_faces.motion import NUM_SWAY_CURVES, MotionCurves, sample_curves
from flashtalk_training.stage_1.movement_codes import (
    CodeLayout,
    movement_codes,
    read_codes,
    with_codes,
)

pytestmark = pytest.mark.training

LAYOUT = CodeLayout.of_frames(33, 5)
FIRST_BLINK = 2 * NUM_SWAY_CURVES


@pytest.fixture(scope="module")
def curves():
    return sample_curves(4000, 33, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("single", [False, True])
def test_codes_are_as_normal_and_independent_as_the_sums_that_they_replace(curves, single):
    torch.manual_seed(0)
    codes = movement_codes(curves, LAYOUT, single=single)
    assert codes.shape == (4000, LAYOUT.num_codes)
    assert codes.mean(dim=0).abs().max() < 0.07
    assert (codes.std(dim=0) - 1).abs().max() < 0.05
    assert (torch.corrcoef(codes.T) - torch.eye(LAYOUT.num_codes)).abs().max() < 0.07


def test_codes_and_motion_frames_tell_where_a_head_goes(curves):
    codes = movement_codes(curves, LAYOUT, single=False)
    x = curves.sway[0]
    told = torch.stack([x[:, 0], x[:, 4], codes[:, 0], codes[:, NUM_SWAY_CURVES]], dim=1)
    for frame in (12, 20, 26, 32):
        unknown, known = (
            (x[:, frame] - seen @ torch.linalg.lstsq(seen, x[:, frame, None]).solution[:, 0]).var()
            for seen in (told[:, :2], told)
        )
        assert known < 0.3 * unknown or known < 0.01


def test_a_blink_has_the_highest_code_where_it_starts():
    blink = torch.zeros(3, 33)
    blink[0, 18] = blink[1, 20] = 0.5  # frames 17 to 20 are latent 5, the fourth new one
    codes = movement_codes(
        MotionCurves(torch.zeros(NUM_SWAY_CURVES, 3, 33), blink), LAYOUT, single=False
    )[:, FIRST_BLINK:]
    assert codes.shape == (3, 7)
    assert 1.6 < codes[0, 3] < codes[1, 3]
    codes[:2, 3] = 0
    assert codes.max() < 1.7


def test_a_blink_that_goes_on_from_the_motion_frames_has_no_code():
    blink = torch.zeros(1, 33)
    blink[0, 2:8] = 0.5
    none = MotionCurves(torch.zeros(NUM_SWAY_CURVES, 1, 33), blink)
    assert movement_codes(none, LAYOUT, single=False)[:, FIRST_BLINK:].max() < 1.7


def test_noise_takes_codes_and_stays_what_it_was_otherwise():
    torch.manual_seed(0)
    noise, codes = torch.randn(2, 16, 9, 4, 4), torch.randn(2, LAYOUT.num_codes)
    coded = with_codes(noise, codes, LAYOUT)
    assert torch.allclose(read_codes(coded, LAYOUT), codes, atol=1e-5)
    assert torch.equal(coded[:, :, :2], noise[:, :, :2])
    assert torch.equal(coded[:, 11:], noise[:, 11:])
    assert torch.allclose(with_codes(coded, read_codes(noise, LAYOUT), LAYOUT), noise, atol=1e-5)


@pytest.mark.parametrize(("frames", "motion"), [(17, 5), (21, 5), (9, 5), (9, 1)])
def test_chunks_of_other_lengths_have_codes_of_their_own(frames, motion):
    layout = CodeLayout.of_frames(frames, motion)
    codes = movement_codes(
        sample_curves(8, frames, torch.Generator().manual_seed(0)), layout, single=motion == 1
    )
    coded = with_codes(torch.randn(8, 16, (frames + 3) // 4, 4, 4), codes, layout)
    assert codes.isfinite().all()
    assert torch.allclose(read_codes(coded, layout), codes, atol=1e-5)
