"""What is written: names, precision, and never half a file."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from flashtalk_core.config.networks import TextEncoderConfig
from flashtalk_core.errors import OutputError
from flashtalk_core.models.encoders.text import TextEncoder
from flashtalk_core.weights.save import save_component

pytestmark = pytest.mark.cpu


def read(path):
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def test_large_matrices_are_quantised_and_the_rest_is_half(tmp_path):
    path = tmp_path / "a.safetensors"
    save_component(nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 8)), path, fp8=True)
    tensors = read(path)
    assert tensors["0.weight"].dtype == torch.float8_e4m3fn
    assert tensors["0.scale_weight"].shape == (64, 1)
    assert {tensors[name].dtype for name in ("0.bias", "1.weight", "1.bias")} == {torch.float16}
    assert "scaled_fp8" in tensors


def test_numbers_too_large_for_half_precision_stay_float32(tmp_path):
    module = nn.Linear(2, 2)
    nn.init.constant_(module.weight, 1e5)
    save_component(module, tmp_path / "a.safetensors")
    tensors = read(tmp_path / "a.safetensors")
    assert tensors["weight"].dtype == torch.float32
    assert tensors["bias"].dtype == torch.float16


def test_text_encoder_is_written_under_the_repackaged_names(tmp_path):
    config = TextEncoderConfig(
        vocab_size=8, dim=8, dim_attn=8, dim_ffn=8, num_heads=2, num_layers=1
    )
    save_component(TextEncoder(config), tmp_path / "a.safetensors", tokenizer=b"abc")
    tensors = read(tmp_path / "a.safetensors")
    assert "shared.weight" in tensors
    assert "encoder.embed_tokens.weight" not in tensors
    assert tensors["spiece_model"].numpy().tobytes() == b"abc"


def test_folder_that_does_not_exist_is_reported(tmp_path):
    with pytest.raises(OutputError, match=r"cannot be written .* check the folder"):
        save_component(nn.Linear(2, 2), tmp_path / "no" / "a.safetensors")


def test_full_disk_keeps_the_older_file(tmp_path):
    """A limit on file size stops root too; the child's exit code shows what was raised."""
    path = tmp_path / "a.safetensors"
    save_component(nn.Linear(2, 2), path)
    before = path.read_bytes()
    script = (
        "import sys; from pathlib import Path; from torch import nn\n"
        "from flashtalk_core.errors import OutputError\n"
        "from flashtalk_core.weights.save import save_component\n"
        "try:\n"
        "    save_component(nn.Linear(64, 64), Path(sys.argv[1]))\n"
        "except OutputError:\n"
        "    sys.exit(7)\n"
    )

    def limit():
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = subprocess.run(
        [sys.executable, "-B", "-c", script, str(path)],
        preexec_fn=limit,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 7, done.stderr
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.skipif(sys.platform == "win32", reason="links of POSIX")
def test_a_link_is_written_through_and_one_in_the_way_is_not(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "v.safetensors").symlink_to("far/w.safetensors")
    (tmp_path / "far" / ".w.safetensors.partial").symlink_to(tmp_path / "precious")
    save_component(nn.Linear(2, 2), tmp_path / "v.safetensors")
    assert (tmp_path / "v.safetensors").is_symlink()
    assert (tmp_path / "far" / "w.safetensors").stat().st_size > 8
    assert (tmp_path / "precious").read_bytes() == b"precious"
