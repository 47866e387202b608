"""Clips in groups, in one go, side by side, and what later frames can change."""

import pytest
import torch

from flashtalk_core.config.networks import VAEConfig
from flashtalk_core.models.vae.cache import CausalCache
from flashtalk_core.models.vae.model import VideoVAE

pytestmark = pytest.mark.cpu

CONFIGS = {
    "wan": VAEConfig(dim=4, num_res_blocks=1),
    "time first": VAEConfig(
        dim=4, dim_mult=(1, 2, 2), num_res_blocks=1, temporal_downsample=(True, True)
    ),
    "light": VAEConfig(dim=4, num_res_blocks=1, light_widths=(8, 6, 4, 4), light_blocks=1),
    "light, patches": VAEConfig(
        dim=4, num_res_blocks=1, light_widths=(4, 4, 4, 4), light_blocks=2, light_patch=2
    ),
}


@pytest.fixture(scope="module", params=CONFIGS)
def vae(request):
    torch.manual_seed(0)
    return VideoVAE(CONFIGS[request.param]).eval()


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


def latents(num_frames, seed=0, batch=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 16, num_frames, 3, 2, generator=generator)


def clip(vae, num_frames, seed=0):
    stride = vae.config.spatial_stride
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, num_frames, 2 * stride, 3 * stride, generator=generator) * 2 - 1


def decode(vae, latent):
    return torch.cat(list(vae.decode_groups(latent)), dim=2)


def close(result, expected):
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


def test_decoding_frame_by_frame_equals_the_whole_clip(vae):
    latent = latents(4)
    whole = vae.decode_frames(latent).clamp(-1, 1)
    close(decode(vae, latent), whole)


@pytest.mark.parametrize("sizes", [(1, 3), (2, 2), (3, 1), (4,)])
def test_groups_of_any_size_decode_alike(vae, sizes):
    latent, cache = latents(4), CausalCache()
    groups = [vae.decode_group(group, cache) for group in latent.split(sizes, dim=2)]
    close(torch.cat(groups, dim=2), decode(vae, latent))


@pytest.mark.parametrize("num_frames", [1, 2, 4, 9])
@pytest.mark.parametrize("num_latents", [1, 2, 3, 8])
def test_groups_of_several_latents_equal_one_by_one(vae, num_latents, num_frames):
    latent = latents(num_frames)
    groups = list(vae.decode_groups(latent, num_latents))
    close(torch.cat(groups, dim=2), decode(vae, latent))
    found = [group.shape[2] for group in groups]
    assert sum(found) == 4 * num_frames - 3
    # A small decoder counts the first latent frame, here on a CPU.
    num_first = num_latents if vae.has_light_decoder or num_latents == 1 else num_latents + 1
    assert found[0] == 4 * min(num_first, num_frames) - 3
    assert max(found[1:], default=0) <= 4 * num_latents


@pytest.mark.parametrize("num_frames", [1, 5, 13])
@pytest.mark.parametrize("num_latents", [1, 2, 8])
def test_encoding_in_groups_equals_the_whole_clip(vae, num_latents, num_frames):
    video = clip(vae, num_frames)
    whole = vae.normalise(vae.moments_to_mean(vae.encoder(video)))
    encoded = vae.encode(video, num_latents)
    assert encoded.shape == (1, 16, (num_frames - 1) // 4 + 1, 2, 3)
    close(encoded, whole)


def test_two_clips_with_two_caches_do_not_mix(vae):
    clips, caches = [latents(3, seed=1), latents(3, seed=2)], [CausalCache(), CausalCache()]
    decoded = [[], []]
    for frame in range(3):
        for k in range(2):
            group = clips[k][:, :, frame : frame + 1]
            decoded[k].append(vae.decode_group(group, caches[k]))
    for k in range(2):
        close(torch.cat(decoded[k], dim=2), decode(vae, clips[k]))


def test_a_batch_of_two_decodes_as_two_clips(vae):
    both = latents(2, batch=2)
    close(decode(vae, both)[1:], decode(vae, both[1:]))


def test_decoded_frames_do_not_depend_on_later_latents(vae):
    latent = latents(4)
    changed = latent.clone()
    changed[:, :, 2:] += 1
    before, after = decode(vae, latent), decode(vae, changed)
    assert torch.equal(before[:, :, :5], after[:, :, :5])
    assert not torch.allclose(before[:, :, 5:9], after[:, :, 5:9], atol=1e-3)


def test_encoded_latents_do_not_depend_on_later_frames(vae):
    video = clip(vae, 13)
    changed = video.clone()
    changed[:, :, 9:] *= -1
    before, after = vae.encode(video), vae.encode(changed)
    assert torch.equal(before[:, :, :3], after[:, :, :3])
    assert not torch.allclose(before[:, :, 3], after[:, :, 3], atol=1e-3)


def test_decoding_a_group_depends_on_earlier_groups(vae):
    latent = latents(3)
    alone = vae.decode_group(latent[:, :, 1:2], CausalCache())
    assert not torch.allclose(decode(vae, latent)[:, :, 1:2], alone, atol=1e-3)


def test_the_first_latent_is_one_frame_and_each_later_one_four(vae):
    stride = vae.config.spatial_stride
    shapes = [group.shape for group in vae.decode_groups(latents(3))]
    size = (3 * stride, 2 * stride)
    assert shapes == [(1, 3, 1, *size), (1, 3, 4, *size), (1, 3, 4, *size)]


def test_decoding_waits_to_be_asked(vae):
    calls = []
    hook = vae.decoder.register_forward_hook(lambda *_: calls.append(1))
    groups = vae.decode_groups(latents(3))
    assert not calls
    next(groups)
    assert len(calls) == 1
    hook.remove()


def test_frames_are_clamped(vae):
    decoded = decode(vae, 30 * latents(2))
    assert float(decoded.max()) <= 1
    assert float(decoded.min()) >= -1
