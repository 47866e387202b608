"""Settings out of range and weights that cannot be used, reported before anything is rendered."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from flashtalk_core.weights.discovery.layout import resolve_model

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("options", "value", "limit"),
    [
        (("--steps", 0), "steps 0", "1 to 100"),
        (("--steps", 1000), "steps 1000", "1 to 100"),
        (("--size", "100x64"), "height 100", "multiple of 16 from 32 to 2048; try 96x64"),
        (("--size", "64x72"), "width 72", "multiple of 16"),
        (("--size", "99999x64"), "height 99999", "32 to 2048; try 2048x64"),
        (("--size", "0x0"), "size 0x0", "try 32x32"),
        (("--shift", 0), "shift 0.0", "up to 100"),
        (("--shift", "nan"), "shift nan", "up to 100"),
        (("--seed", -1), "seed -1", "0 to 2**63 - 1"),
        (("--colour-strength", 2), "colour strength 2.0", "0 (off) to 1"),
        (("--mouth-strength", -0.5), "mouth strength -0.5", "0 to 3"),
        (("--start", "1e308"), "audio start 1e+308 s", "up to 360000"),
        (("--start", "nan"), "audio start nan s", "up to 360000"),
        (("--duration", "1e308"), "audio duration 1e+308 s", "0.001 to 360000"),
        (("--duration", "1e-9"), "audio duration 1e-09 s", "0.001 to 360000"),
        (("--prompt-at", "1e308", "x"), "prompt change at 1e+308 s", "up to 360000"),
        (("--prompt-at", "nan", "x"), "prompt change at nan s", "up to 360000"),
        (("--prompt", "caf\udce9"), "prompt: 'caf\\xe9'", "type it again, in UTF-8"),
        (("--prompt-at", "1", "\ud83d"), "prompt change at 1 s: '\\ud83d'", "type it again"),
        (("--model", "~nosuchuser/x"), "model ~nosuchuser/x", "write the whole path"),
        (("--lora", "~nosuchuser/x"), "lora ~nosuchuser/x", "write the whole path"),
        (("--lora", "a" * 5000), "lora aaa", "File name too long"),
        (("--soundtrack", "a" * 5000), "aaa", "File name too long"),
        (("--upscale", "a" * 5000), "upscaling model aaa", "File name too long"),
        (("--speaker", "left", "--speaker", f"right:{'a' * 300}.wav"), "aaa", "name too long"),
        (("--lora", "/dev/zero"), "lora /dev/zero", "this is a device"),
        (("--model", "a" * 5000), "model 'aaa", "use 'tiny' or a weights folder"),
        (("--crf", 99), "crf 99", "0 (best) to 51"),
        (("--device", "abacus"), "device 'abacus'", "doctor"),
        (("--attention", "magic"), "attention 'magic'", "sdpa"),
        (("--model", "/no/such/folder"), "/no/such/folder", "use 'tiny' or a weights folder"),
    ],
)
def test_settings_out_of_range(refused, options, value, limit):
    line = refused(*options)
    assert value in line
    assert limit in line


@pytest.fixture
def weights(tmp_path):
    """A copy of the tiny model, to be damaged; its transformer is in two shards."""
    folder = shutil.copytree(resolve_model("tiny"), tmp_path / "weights")
    whole = folder / "diffusion_pytorch_model.safetensors"
    tensors = load_file(whole)
    names = sorted(tensors)
    for index, part in enumerate((names[::2], names[1::2]), start=1):
        shard = folder / f"diffusion_pytorch_model-{index:05}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, shard)
    whole.unlink()
    return folder


def test_weights_in_shards_render(render, weights):
    """Scales of quantised tensors lie in other shards than these; without them all is NaN."""
    assert render("--model", weights).code == 0


def test_a_missing_shard(refused, weights):
    shard = weights / "diffusion_pytorch_model-00002-of-00002.safetensors"
    shard.unlink()
    line = refused("--model", weights)
    assert str(shard) in line
    assert "1 of 2" in line
    assert "resume the download" in line


def test_a_tensor_of_the_wrong_shape(refused, weights):
    tensors = load_file(weights / "vae.safetensors")
    name = "conv1.weight"
    tensors[name] = torch.zeros(5, 3)
    save_file(tensors, weights / "vae.safetensors")
    line = refused("--model", weights)
    assert f"{name} has shape (5, 3), expected (" in line
    assert "download it again" in line


def test_a_pickle_with_code_in_it(refused, weights, tmp_path):
    trap = tmp_path / "executed"

    class Payload:
        def __reduce__(self):
            return type(trap).mkdir, (trap,)

    (weights / "vae.safetensors").unlink()
    torch.save({"conv1.weight": Payload()}, weights / "Wan2.1_VAE.pth")
    line = refused("--model", weights)
    assert "Wan2.1_VAE.pth" in line
    assert "holds code" in line
    assert "safetensors" in line
    assert not trap.exists()


def test_a_folder_without_weights(refused, tmp_path):
    (tmp_path / "nothing").mkdir()
    line = refused("--model", tmp_path / "nothing")
    assert "diffusion transformer not found" in line
    assert "download it from" in line
