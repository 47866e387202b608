"""A whole chunk whose frames are divided among ranks, against the chunk on one device."""

from copy import copy
from dataclasses import replace

import pytest
import torch

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.config.networks import VAEConfig
from flashtalk_core.config.sampling import SamplingConfig
from flashtalk_core.engine.chunk import ChunkModel, generate_chunk
from flashtalk_core.engine.reference import encode_portrait, prepare_reference
from flashtalk_core.engine.state import SessionState
from flashtalk_core.errors import OverflowedError
from flashtalk_core.media.pixels import to_images
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.parallel.banded_images import BandedImages
from flashtalk_core.parallel.bands import VaeGrid
from flashtalk_core.placement.provider import FixedNetworks
from tests.unit.parallel.thread_ranks import run_ranks

pytestmark = pytest.mark.ranks

SAMPLING = SamplingConfig(steps=2, colour_strength=0.7)


@pytest.fixture(scope="module")
def toy(make_toy):
    """Networks and a portrait that enlarge rounding less than those of other tests."""
    narrow = make_toy(ChunkConfig(num_frames=13, num_motion_frames=5))
    torch.manual_seed(0)
    vae, image = VideoVAE(VAEConfig(dim=8, num_res_blocks=1)).eval(), 0.3 * narrow.image
    model = ChunkModel.resident(narrow.dit, vae, narrow.model.chunk)
    reference = prepare_reference(
        dit=narrow.dit, vae=vae, clip_tokens=narrow.clip_tokens, image=image,
        context=narrow.context, chunk=model.chunk,
    )  # fmt: skip
    return replace(narrow, vae=vae, image=image, model=model, reference=reference)


def model_of(toy, spread, num_latents=1):
    """Return the toy's networks, of which each rank has an autoencoder with its own runner."""
    networks = FixedNetworks(toy.dit, copy(toy.vae))
    return replace(toy.model, networks=networks, spread=spread, num_decode_latents=num_latents)


def chunks_of(toy, model, count=2, sampling=SAMPLING):
    """Return the groups of successive chunks."""
    state, groups = SessionState(fingerprint="f"), []
    for index in range(count):
        windows = toy.windows(index)
        groups += generate_chunk(model, toy.reference, windows, state, sampling)
        state = groups[-1].state
    return groups


def whole_frames(ranks):
    """Put the groups of all ranks together."""
    found = []
    for groups in zip(*ranks, strict=True):
        whole = torch.full((3, groups[0].frames.shape[1], 32, 48), torch.nan)
        for group in groups:
            (top, left), (height, width) = group.corner_px, group.frames.shape[-2:]
            whole[..., top : top + height, left : left + width] = group.frames
        found.append(whole)
    return torch.cat(found, dim=1)


@pytest.mark.parametrize("num_latents", [1, 2])
@pytest.mark.parametrize(
    ("heights", "widths", "world"),
    [((4,), (6,), 1), ((2, 2), (6,), 2), ((2, 2), (2, 2, 2), 6), ((4,), (3, 3), 3)],
)
def test_chunks_are_those_of_one_device(toy, heights, widths, world, num_latents):
    """Colours, motion frames and state included; a rank without a band has nothing to show."""
    grid = VaeGrid(heights, widths)
    expected = chunks_of(toy, replace(toy.model, num_decode_latents=num_latents))

    def work(group):
        return chunks_of(toy, model_of(toy, BandedImages.over(grid, group), num_latents))

    ranks = run_ranks(world, work)
    frames = torch.cat([group.frames for group in expected], dim=1)
    torch.testing.assert_close(whole_frames(ranks), frames, atol=1e-5, rtol=0)
    for groups in ranks:
        found, wanted = groups[-1].state, expected[-1].state
        assert (found.chunk_index, found.fingerprint) == (2, "f")
        torch.testing.assert_close(found.motion_frames, wanted.motion_frames, atol=1e-5, rtol=0)
        assert [each.state is None for each in groups] == [each.state is None for each in expected]
    for groups in ranks[grid.size :]:
        assert {group.frames.shape[-2:] for group in groups} == {(0, 0)}
        assert to_images(groups[0].frames).shape[1:] == (0, 0, 3)


def test_bands_leave_the_mouth_out_as_one_device_does(toy):
    sampling = replace(SAMPLING, colour_area="no-mouth")
    expected = chunks_of(toy, toy.model, 1, sampling)

    def work(group):
        spread = BandedImages.over(VaeGrid((2, 2), (2, 4)), group)
        return chunks_of(toy, model_of(toy, spread), 1, sampling)

    frames = torch.cat([group.frames for group in expected], dim=1)
    torch.testing.assert_close(whole_frames(run_ranks(4, work)), frames, atol=1e-5, rtol=0)
    by_authors = torch.cat([group.frames for group in chunks_of(toy, toy.model, 1)], dim=1)
    assert not torch.allclose(frames, by_authors, atol=1e-3)


def test_bands_fade_joins_as_one_device_does(toy):
    """Each rank its own part of the jump; rank 4 has none."""
    sampling = replace(SAMPLING, join_frames=3)
    expected = chunks_of(toy, toy.model, 2, sampling)

    def work(group):
        spread = BandedImages.over(VaeGrid((2, 2), (2, 4)), group)
        return chunks_of(toy, model_of(toy, spread), 2, sampling)

    frames = torch.cat([group.frames for group in expected], dim=1)
    torch.testing.assert_close(whole_frames(run_ranks(5, work)), frames, atol=1e-5, rtol=0)
    plain = torch.cat([group.frames for group in chunks_of(toy, toy.model, 2)], dim=1)
    changed = (frames - plain).abs().amax(dim=(0, 2, 3)) > 1e-4
    assert changed.nonzero().flatten().tolist() == [8, 9, 10]


def test_a_portrait_is_encoded_in_bands(toy):
    num_frames = toy.model.chunk.num_frames
    expected = encode_portrait(toy.vae, toy.clip_tokens, toy.image, num_frames)

    def work(group):
        spread = BandedImages.over(VaeGrid((2, 2), (3, 3)), group)
        return encode_portrait(copy(toy.vae), toy.clip_tokens, toy.image, num_frames, spread.encode)

    for portrait in run_ranks(5, work):
        for name in ("motion_latent", "condition"):
            found, wanted = getattr(portrait, name), getattr(expected, name)
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("part", ["decoder", "conv1"])
def test_a_band_that_is_no_image_stops_all_ranks_alike(toy, part):
    """Rank 1's is; rank 2 has none at all."""

    def work(group):
        model = model_of(toy, BandedImages.over(VaeGrid((2, 2), (6,)), group))
        vae, groups = model.networks._networks[type(toy.vae)], []
        if group.rank == 1:
            vae._modules = dict(vae._modules)
            module = vae._modules[part] = copy(getattr(vae, part))
            run = module.forward
            module.forward = lambda *given: run(*given) * torch.nan
        try:
            groups += chunks_of(toy, model)
        except OverflowedError as error:
            return str(error), len(groups)
        raise AssertionError("nothing was noticed")

    expected = {
        "decoder": "chunk 1: the VAE's images are NaN or infinite",
        "conv1": "chunk 2: the VAE's latents are NaN or infinite",
    }[part]
    found = run_ranks(3, work)
    assert len(set(found)) == 1
    assert found[0][0].startswith(expected)
