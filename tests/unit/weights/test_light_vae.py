"""LightVAE and TAE files: told by names and shapes, and run as their layout says."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from flashtalk_core.config.networks import VAEConfig
from flashtalk_core.errors import FlashTalkError, InvalidInputError
from flashtalk_core.models.vae.light_vae import ImageCoder, LightVAE
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.weights.light_vae import open_light_vae
from flashtalk_core.weights.mapping.light_vae import is_light_vae
from flashtalk_core.weights.plan import load_module

from .light_files import conv, tae

pytestmark = pytest.mark.cpu

WAN = VAEConfig()
SMALL = {"widths": (12, 8, 6, 4), "encoder": 6}


@pytest.fixture(autouse=True)
def _no_grad():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def saved(path, tensors):
    (torch.save if path.suffix == ".pth" else save_file)(tensors, path)
    return path


def lightvae(dim=24, **sizes):
    return VideoVAE(VAEConfig(dim=dim, **sizes)).state_dict()


def load(path, model=WAN):
    file = open_light_vae(path, model)
    return load_module(file.plan, torch.device("cpu"), torch.float32).coder


def decoded(coder, latent, num_latents=1):
    return torch.cat(list(coder.decode_groups(latent, num_latents)), dim=2)


def close(result, expected):
    torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-4)


class Reference:
    """TAE's arithmetic, an image at a time, read off the published layout."""

    def __init__(self, state):
        self.state = state

    def conv(self, x, name, **options):
        weight, bias = self.state[f"{name}.weight"], self.state.get(f"{name}.bias")
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, **options)

    def blocks(self, frames, part, first):
        for number in range(first, first + 3):
            past, out = torch.zeros_like(frames[0]), []
            for x in frames:
                y = torch.cat([x, past], dim=1)
                for layer in (0, 2, 4):
                    y = self.conv(y if layer == 0 else y.relu(), f"{part}.{number}.conv.{layer}")
                out.append((y + x).relu())
                past = x
            frames = out
        return frames

    def decode(self, latent):
        frames = [self.conv(3 * torch.tanh(z / 3), "decoder.1").relu() for z in latent.unbind(2)]
        for level, first in enumerate((3, 9, 15)):
            out = []
            for x in self.blocks(frames, "decoder", first):
                x = F.interpolate(x, scale_factor=2.0)
                grown = self.conv(x, f"decoder.{first + 4}.conv")
                out += grown.chunk(2 if level else 1, dim=1)
            frames = [self.conv(x, f"decoder.{first + 5}") for x in out]
        frames = [self.conv(x.relu(), "decoder.22") for x in frames]
        return 2 * torch.stack(frames[3:], dim=2).clamp(0, 1) - 1

    def encode(self, video):
        frames = [(each + 1) / 2 for each in video.unbind(2)]
        frames += [frames[-1]] * (-len(frames) % 4)
        frames = [self.conv(x, "encoder.0").relu() for x in frames]
        for first, stride in ((2, 2), (7, 2), (12, 1)):
            pairs = [torch.cat(frames[i : i + stride], 1) for i in range(0, len(frames), stride)]
            pooled = [self.conv(x, f"encoder.{first}.conv") for x in pairs]
            halved = [self.conv(x, f"encoder.{first + 1}", stride=2) for x in pooled]
            frames = self.blocks(halved, "encoder", first + 2)
        return torch.stack([self.conv(x, "encoder.17") for x in frames], dim=2)


@pytest.mark.parametrize("name", ["taew2_1.safetensors", "taew2_1.pth"])
@pytest.mark.parametrize("prefix", ["", "taehv.", "module.", "model.taehv."])
def test_a_tae_of_the_published_widths(tmp_path, name, prefix):
    path = saved(tmp_path / name, tae(prefix=prefix))
    file = open_light_vae(path, WAN)
    assert file.kind == "TAE of normalised latents"
    assert file.config.vae.light_widths == (256, 128, 64, 64)
    assert (file.config.encoder_width, file.config.encoder_blocks) == (64, 3)
    assert file.config.has_encoder
    assert is_light_vae(path)


def test_a_tae_decodes_and_encodes_by_the_formula(tmp_path):
    state = tae()
    coder, reference = load(saved(tmp_path / "taew2_1.safetensors", state)), Reference(state)
    assert isinstance(coder, ImageCoder)
    latent, video = torch.randn(1, 16, 3, 2, 3), torch.rand(1, 3, 9, 16, 24) * 2 - 1
    frames = decoded(coder, latent)
    assert frames.shape == (1, 3, 9, 16, 24)
    assert frames.std() > 0.01
    close(frames, reference.decode(latent))
    encoded = coder.encode(video)
    assert encoded.shape == (1, 16, 3, 2, 3)
    close(encoded, reference.encode(video))


def test_lightx2v_s_tae_takes_raw_latents(tmp_path):
    state = tae(**SMALL)
    path = saved(tmp_path / "lighttaew2_1.safetensors", state)
    coder, reference = load(path), Reference(state)
    assert open_light_vae(path, WAN).kind == "TAE of raw latents"
    mean, std = (
        torch.tensor(each).view(1, -1, 1, 1, 1) for each in (WAN.latent_mean, WAN.latent_std)
    )
    latent, video = torch.randn(1, 16, 2, 2, 2), torch.rand(1, 3, 5, 16, 16) * 2 - 1
    close(decoded(coder, latent), reference.decode(latent * std + mean))
    close(coder.encode(video), (reference.encode(video) - mean) / std)


@pytest.mark.parametrize("num_latents", [1, 2, 8])
def test_groups_equal_the_whole(tmp_path, num_latents):
    coder = load(saved(tmp_path / "taew2_1.safetensors", tae(**SMALL)))
    latent, video = torch.randn(2, 16, 5, 2, 2), torch.rand(2, 3, 13, 16, 16) * 2 - 1
    close(decoded(coder, latent, num_latents), decoded(coder, latent, 5))
    close(coder.encode(video, num_latents), coder.encode(video, 4))


def test_a_tae_without_encoder_only_decodes(tmp_path):
    file = open_light_vae(saved(tmp_path / "a.safetensors", tae(encoder=0)), WAN)
    assert not file.config.has_encoder


def test_the_small_decoder_of_the_bundled_model_is_one(tmp_path):
    vae = VideoVAE(VAEConfig(dim=4, num_res_blocks=1, light_widths=(8, 6, 4, 4), light_patch=2))
    path = saved(tmp_path / "vae.safetensors", vae.state_dict())
    file, latent = open_light_vae(path, WAN), torch.randn(1, 16, 2, 2, 2)
    assert not file.config.has_encoder
    close(decoded(load(path), latent), decoded(vae, latent))


@pytest.mark.parametrize("name", ["lightvaew2_1.safetensors", "lightvaew2_1.pth"])
@pytest.mark.parametrize("prefix", ["", "vae.", "module.", "first_stage_model."])
def test_a_pruned_autoencoder(tmp_path, name, prefix):
    state = {prefix + key: value for key, value in lightvae().items()}
    path = saved(tmp_path / name, state)
    file = open_light_vae(path, WAN)
    assert file.kind == "LightVAE, 24 wide"
    assert file.config.vae == VAEConfig(dim=24)
    assert file.config.has_encoder
    assert is_light_vae(path)


def test_a_pruned_autoencoder_computes_as_the_whole_one_of_its_width(tmp_path):
    state = lightvae(4, num_res_blocks=1)
    whole = VideoVAE(VAEConfig(dim=4, num_res_blocks=1))
    whole.load_state_dict(state)
    coder = load(saved(tmp_path / "lightvae.safetensors", state))
    assert isinstance(coder, VideoVAE)
    latent = torch.randn(1, 16, 3, 2, 2)
    assert torch.equal(decoded(coder, latent), decoded(whole, latent))
    video = decoded(whole, latent)
    assert torch.equal(coder.encode(video), whole.encode(video))


def test_its_published_sizes_are_those_of_a_quarter_of_the_width():
    shapes = {name: tuple(value.shape) for name, value in lightvae().items()}
    assert shapes["encoder.conv1.weight"] == (24, 3, 3, 3, 3)
    assert shapes["decoder.conv1.weight"] == (96, 16, 3, 3, 3)
    assert shapes["decoder.head.2.weight"] == (3, 24, 3, 3, 3)
    assert shapes["decoder.upsamples.3.resample.1.weight"] == (48, 96, 3, 3)


def test_latent_statistics_are_the_model_s(tmp_path):
    path = saved(tmp_path / "a.safetensors", lightvae(4, num_res_blocks=1))
    model = VAEConfig(latent_mean=(0.5,) * 16, latent_std=(2.0,) * 16)
    assert load(path, model).config.latent_std == (2.0,) * 16


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (conv(4, 4, name="other"), "no light autoencoder that is known, its 2 tensors have other"),
        (tae(z_dim=48, **SMALL), "48 latent channels, and the model has 16"),
        ({k: v for k, v in tae(**SMALL).items() if k != "decoder.22.bias"}, "missing"),
        (tae(**SMALL) | {"decoder.23.weight": torch.zeros(3, 3, 3, 3)}, "has other layers"),
        (tae(**SMALL, patch=2), "of 2 pixels a place"),
    ],
    ids=["names", "channels", "incomplete", "unknown", "patch"],
)
def test_what_is_neither_is_refused(tmp_path, tensors, said):
    path = saved(tmp_path / "a.safetensors", tensors)
    with pytest.raises(FlashTalkError, match=r"a\.safetensors") as caught:
        open_light_vae(path, WAN)
    assert said in str(caught.value)
    assert caught.value.subject == "light_vae"


def test_a_missing_file(tmp_path):
    with pytest.raises(InvalidInputError, match="light autoencoder"):
        open_light_vae(tmp_path / "none.safetensors", WAN)


def test_the_menu_leaves_whole_autoencoders_out(tmp_path):
    (tmp_path / "text.safetensors").write_text("no tensors")
    assert not is_light_vae(tmp_path / "text.safetensors")
    assert not is_light_vae(saved(tmp_path / "a.safetensors", conv(4, 4, name="other")))
    wide = {name: torch.empty(value.shape, dtype=torch.uint8).expand(value.shape)
            for name, value in lightvae(96, num_res_blocks=1).items()}  # fmt: skip
    assert not is_light_vae(saved(tmp_path / "wan_2.1_vae.safetensors", wide))
    assert not is_light_vae(saved(tmp_path / "wan.pth", {"a": torch.zeros(1)}))


def test_the_network_is_the_one_of_its_file(tmp_path):
    file = open_light_vae(saved(tmp_path / "taew2_1.safetensors", tae(**SMALL)), WAN)
    network = load_module(file.plan, torch.device("cpu"), torch.bfloat16)
    assert isinstance(network, LightVAE)
    assert {each.dtype for each in network.parameters()} == {torch.bfloat16}
    assert not network.training
