"""Upscaling networks of files: a real architecture with weights that were drawn here."""

import sys
from itertools import pairwise

import pytest
import torch
from safetensors.torch import save_file

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.stages.upscale_file import open_upscaler
from flashtalk_core.stages.upscaling import UpscaleStage
from flashtalk_core.weights.formats.tensor_file import check_header

pytestmark = pytest.mark.cpu
CPU = torch.device("cpu")


def compact(scale=2, seed=0, *, width=8, layers=1, deviation=0.1):
    """Return weights of Real-ESRGAN's small network, of any width and number of layers."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator) * deviation

    widths = [3, *[width] * (layers + 1), 3 * scale**2]
    weights = {}
    for index, (before, after) in enumerate(pairwise(widths)):
        weights[f"body.{2 * index}.weight"] = draw(after, before, 3, 3)
        weights[f"body.{2 * index}.bias"] = draw(after)
        if index <= layers:
            weights[f"body.{2 * index + 1}.weight"] = draw(after)
    return weights


def refused(path):
    with pytest.raises(InvalidInputError) as caught:
        open_upscaler(path, CPU, check_header)
    assert caught.value.subject == "upscale"
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_upscales_as_its_network_does(tmp_path, suffix):
    spandrel = pytest.importorskip("spandrel")
    path, weights = tmp_path / f"2x{suffix}", compact()
    if suffix == ".pth":
        torch.save({"params_ema": weights}, path)
    else:
        save_file(weights, path)
    stage = UpscaleStage(open_upscaler(path, CPU))
    frame = torch.randint(0, 256, (16, 24, 3), dtype=torch.uint8)
    with stage.opened() as make:
        (found,) = make(None, frame)
    model = spandrel.ModelLoader().load_from_state_dict(weights)
    wanted = model(frame.permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0)
    assert found.shape == (32, 48, 3)
    assert (found / 255 - wanted).abs().max() <= 0.51 / 255
    assert stage.weight_bytes == sum(each.nbytes for each in weights.values())
    assert stage.identity == UpscaleStage(open_upscaler(path, CPU)).identity


def test_what_is_no_upscaler_is_refused_with_a_remedy(tmp_path):
    assert "no such file" in refused(tmp_path / "a.pth")
    (tmp_path / "b.pt").touch()
    assert "use a file in .safetensors or .pth" in refused(tmp_path / "b.pt")
    pytest.importorskip("spandrel")
    save_file({"some.weight": torch.ones(2)}, tmp_path / "d.safetensors")
    assert "use a .safetensors or .pth file of an upscaler" in refused(tmp_path / "d.safetensors")


def test_a_missing_library_is_named_with_its_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "spandrel", None)
    torch.save(compact(), tmp_path / "a.pth")
    assert 'pip install "spandrel>=0.4.1,<0.5"' in refused(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.pth", b""),
        ("cut.pth", b"PK\x03\x04 and no end"),
        ("page.safetensors", b"<html>"),
        ("cut.safetensors", b"\xff\0\0\0\0\0\0\0{"),
    ],
)
def test_a_damaged_file_is_told_before_a_missing_library(tmp_path, monkeypatch, name, content):
    monkeypatch.setitem(sys.modules, "spandrel", None)
    path = tmp_path / name
    path.write_bytes(content)
    message = refused(path)
    assert message.startswith(f"upscaling model {path}: ")
    assert "pip install" not in message
    assert "download" in message
