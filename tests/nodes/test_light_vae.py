"""A light autoencoder in FlashTalk Parallel Decode: the menu, the plan, and its weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.unit.weights.light_files import conv, tae

pytestmark = pytest.mark.cpu

TINY = Path(__file__).parents[2] / "flashtalk_core" / "assets" / "tiny" / "vae.safetensors"
SMALL = (4, 4, 4, 4)


@pytest.fixture
def models(pack, tmp_path):
    """Files of the kinds that lie in ComfyUI's two folders."""
    torch.manual_seed(0)
    near, own = tmp_path / "models" / "vae_approx", tmp_path / "models" / "vae"
    for folder in (near, own):
        folder.mkdir(parents=True)
    save_file(tae(SMALL, 4), near / "taew2_1.safetensors")
    save_file(tae(SMALL, 4), own / "lighttaew2_1.safetensors")
    save_file(conv(4, 4, name="decoder.layers.0"), near / "taesd_decoder.safetensors")
    decoder = {k: v for k, v in load_file(TINY).items() if k.startswith("decoder.")}
    save_file(decoder, near / "bundled.safetensors")
    return tmp_path / "models"


def decoded(pack, model, **given):
    return pack.run("ParallelDecode", chunks=pack.frames(model), **given).args[0]


@pytest.mark.usefixtures("models")
def test_the_menu_lists_what_is_one(pack):
    schema = pack.nodes["FlashTalk_ParallelDecode"].GET_SCHEMA()
    menu = next(each for each in schema.inputs if each.id == "light_vae")
    names = ["bundled.safetensors", "lighttaew2_1.safetensors", "taew2_1.safetensors"]
    assert menu.options == ["none", *names]
    assert menu.default == "none"


@pytest.mark.usefixtures("models")
def test_it_is_in_the_plan(pack, model):
    plain = decoded(pack, model)
    light = decoded(pack, model, light_vae="taew2_1.safetensors", motion_vae="shown")
    assert (light.spec.model.light_vae, light.spec.motion_vae) == ("taew2_1.safetensors", "shown")
    assert light.plan.fingerprint() != plain.plan.fingerprint()
    again = pack.run("ParallelDecode", chunks=light).args[0]
    assert again.plan.fingerprint() == plain.plan.fingerprint()
    assert again.spec == plain.spec
    ignored = decoded(pack, model, motion_vae="light")
    assert ignored.spec == plain.spec


@pytest.mark.usefixtures("models")
def test_joins_are_faded_only_where_motion_frames_are_shown(pack, model):
    chunks = pack.frames(model, join_frames=4)
    given = {"chunks": chunks, "light_vae": "taew2_1.safetensors"}
    message = pack.error("ParallelDecode", **given)
    assert message.startswith("FlashTalk Parallel Decode, input 'motion_vae': join frames 4: ")
    shown = pack.run("ParallelDecode", **given, motion_vae="shown").args[0]
    assert shown.plan.request.sampling.join_frames == 4


@pytest.mark.usefixtures("models")
def test_the_bundled_decoder_as_a_file_makes_the_same_frames(pack, model):
    found = []
    for name in ("none", "bundled.safetensors", "taew2_1.safetensors", "bundled.safetensors"):
        frames = decoded(pack, model, light_vae=name, motion_vae="shown")
        found.append(pack.preview(frames, name[:4], keep_gb=0.0))
    plain, first, other, second = (path.read_bytes() for path in found)
    assert first == second == plain
    assert other != plain
