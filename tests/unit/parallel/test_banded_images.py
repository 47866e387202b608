"""Who has which band, and what all ranks get of it."""

import pytest
import torch

from flashtalk_core.config.light_vae import LightVAEConfig
from flashtalk_core.config.networks import VAEConfig
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.models.vae.light_vae import LightVAE
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.parallel.banded_images import BandedImages, spread_images
from flashtalk_core.parallel.collectives import Alone
from flashtalk_core.parallel.image_spread import WHOLE
from tests.unit.parallel.thread_ranks import run_ranks

pytestmark = pytest.mark.cpu

SIZE_PX = (40, 48)


def test_a_single_rank_has_whole_images():
    assert spread_images(Alone(), SIZE_PX) is WHOLE
    frames = torch.zeros(3, 2, *SIZE_PX)
    assert WHOLE.join(frames) is WHOLE.total(frames) is frames
    assert (WHOLE.is_whole, WHOLE.corner_px) == (True, (0, 0))


def test_bands_lie_where_their_corners_are():
    def work(group):
        spread = spread_images(group, SIZE_PX, "2x2", (0, 1, 3, 4))
        assert isinstance(spread, BandedImages)
        return spread.is_whole, spread.corner_px, spread.band(torch.zeros(SIZE_PX), 8).shape

    assert run_ranks(5, work) == [
        (False, (0, 0), (24, 24)),
        (False, (0, 24), (24, 24)),
        (False, (0, 0), (0, 0)),
        (False, (24, 0), (16, 24)),
        (False, (24, 24), (16, 24)),
    ]


def test_all_ranks_get_joined_frames_and_totals():
    whole = torch.rand(1, 3, 2, *SIZE_PX, generator=torch.Generator().manual_seed(0))

    def work(group):
        spread = spread_images(group, SIZE_PX, "rows", (1, 2))
        part = spread.band(whole, 8)
        assert part.numel() or group.rank not in (1, 2)
        assert torch.equal(spread.join(part), whole)
        return float(spread.total(part.sum()))

    totals = run_ranks(4, work)
    assert len(set(totals)) == 1
    assert totals[0] == pytest.approx(float(whole.sum()))


def test_a_grid_counts_the_ranks_that_may_have_a_band():
    def work(group):
        return spread_images(group, SIZE_PX, "2x2", (0, 1))

    with pytest.raises(InvalidInputError, match=r"its 4 bands need .*, and there are 2;"):
        run_ranks(4, work)


def test_bands_of_a_small_decoder_are_cut_from_whole_frames():
    torch.manual_seed(0)
    vae = VideoVAE(VAEConfig(dim=4, num_res_blocks=1, light_widths=(4, 4, 4, 4))).eval()
    latent = torch.randn(1, 16, 3, 5, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = torch.cat(list(WHOLE.decode(vae, latent)), dim=2)

    @torch.no_grad()
    def work(group):
        spread = spread_images(group, SIZE_PX, "2x2", (0, 1, 3, 4))
        return spread.join(torch.cat(list(spread.decode(vae, latent, 2)), dim=2))

    for frames in run_ranks(5, work):
        torch.testing.assert_close(frames, whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        LightVAEConfig(vae=VAEConfig(light_widths=(4, 4, 4, 4)), encoder_width=4, encoder_blocks=1),
        LightVAEConfig(vae=VAEConfig(dim=4, num_res_blocks=1)),
    ],
    ids=["TAE", "LightVAE"],
)
def test_bands_of_a_light_autoencoder_are_those_of_whole_frames(config):
    torch.manual_seed(0)
    coder = LightVAE(config).eval().coder
    draws = torch.Generator().manual_seed(1)
    latent = torch.randn(1, 16, 3, 5, 6, generator=draws)
    video = torch.rand(1, 3, 5, *SIZE_PX, generator=draws) * 2 - 1
    with torch.no_grad():
        whole = torch.cat(list(WHOLE.decode(coder, latent)), dim=2)
        encoded = WHOLE.encode(coder, video)

    @torch.no_grad()
    def work(group):
        own = LightVAE(config).eval()
        own.coder.load_state_dict(coder.state_dict())
        spread = spread_images(group, SIZE_PX, "2x1", (0, 2))
        frames = torch.cat(list(spread.decode(own.coder, latent, 2)), dim=2)
        return spread.join(frames), spread.encode(own.coder, video)

    for frames, latents in run_ranks(3, work):
        torch.testing.assert_close(frames, whole, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(latents, encoded, atol=1e-4, rtol=1e-4)
