"""The parity comparison: the recorded numbers, folders of other sizes, and what fails."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from flashtalk_core.errors import InvalidInputError, WeightsError
from flashtalk_core.parity.bounds import Bound, Placement, compare
from flashtalk_core.parity.precision import exact_float32
from flashtalk_core.parity.report import format_table, to_json
from flashtalk_core.parity.runner import run_parity

pytestmark = pytest.mark.e2e

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def made(tmp_path_factory, write_golden):
    folder = tmp_path_factory.mktemp("golden")
    write_golden(folder, "short")
    return folder


@pytest.fixture
def copied(made, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def change(folder, name, key, alter):
    """Replace one tensor of a golden file."""
    path = folder / f"{name}.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    tensors[key] = alter(tensors[key])
    save_file(tensors, path, metadata)


def failures(results):
    return [f"{r.component} {r.name} {r.error:.2e}" for r in results if not r.passed]


def test_the_recorded_numbers_are_reproduced_in_float32():
    results = run_parity(GOLDEN)
    assert not failures(results)
    assert {r.component for r in results} == {p.stem for p in GOLDEN.glob("*.safetensors")}
    assert {r.bound for r in results} == {0.0, 2e-5, 2e-4}


def test_the_recorded_numbers_are_reproduced_in_half_precision():
    results = run_parity(GOLDEN, dtype=torch.bfloat16)
    assert not failures(results)
    assert {r.kind for r in results} == {"max", "rms", "exact"}


def test_a_folder_of_other_sizes_passes(made):
    results = run_parity(made)
    assert not failures(results)
    assert {"chunk1.motion_latent_next", "latent9"} <= {r.name for r in results}
    assert "chunk2.frames" not in {r.name for r in results}


def test_longer_chunks_and_deeper_strides_pass(tmp_path, write_golden):
    write_golden(tmp_path, "long")
    results = run_parity(tmp_path)
    assert not failures(results)
    assert len(results) == 21


def test_one_wrong_number_fails_its_own_component_alone(copied):
    def nudge(velocity):
        velocity[0, 3, 1, 0, 0] += 1e-3
        return velocity

    change(copied, "dit", "out.velocity", nudge)
    results = run_parity(copied)
    assert [(r.component, r.name) for r in results if not r.passed] == [("dit", "velocity")]
    assert any(
        line.startswith("dit ") and "NO" in line for line in format_table(results).split("\n")
    )
    report = json.loads(to_json(results))
    assert not report["passed"]
    assert [r["component"] for r in report["results"] if not r["passed"]] == ["dit"]


def test_one_grey_level_of_difference_fails(copied):
    change(copied, "image", "out.resized_cropped", lambda pixels: pixels ^ 1)
    assert failures(run_parity(copied)) == ["image resized_cropped 1.00e+00"]


def test_an_empty_folder_has_another_message_than_an_incomplete_one(copied, tmp_path):
    with pytest.raises(InvalidInputError, match=r"no golden files; name a folder with dit\.safe"):
        run_parity(tmp_path / "nowhere")
    (copied / "clip.safetensors").unlink()
    (copied / "vae.safetensors").unlink()
    with pytest.raises(InvalidInputError, match=r"missing: vae\.safetensors, clip\.safetensors;"):
        run_parity(copied)


def test_a_damaged_file_is_named(copied):
    path = copied / "umt5.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InvalidInputError, match=r"umt5\.safetensors: no golden file \("):
        run_parity(copied)


def test_weights_that_disagree_with_the_sizes_are_named(copied):
    change(copied, "clip", "weights.vision_model.pre_layrnorm.bias", lambda bias: bias[:-1])
    with pytest.raises(WeightsError, match=r"pre_layrnorm\.bias \(19,\) does not fit") as caught:
        run_parity(copied)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("device", "dtype", "kind", "module", "loop"),
    [
        ("cpu", torch.float32, "max", 2e-5, 2e-4),
        ("cuda", torch.float32, "max", 2e-4, 2e-3),
        ("cuda", torch.bfloat16, "rms", 3e-2, 6e-2),
        ("cpu", torch.float16, "rms", 3e-2, 6e-2),
    ],
)
def test_bounds_follow_the_device_and_the_dtype(device, dtype, kind, module, loop):
    place = Placement(torch.device(device), dtype)
    assert place.module_bound == Bound(kind, pytest.approx(module))
    assert place.loop_bound(4) == Bound(kind, pytest.approx(loop))


@pytest.mark.parametrize(
    ("kind", "error"),
    # Differences 0, 0, 0, 2; the expected values' deviation is 2.
    [("max", 1.0), ("rms", 0.5), ("exact", 2.0)],
)
def test_errors_match_hand_computed_cases(kind, error):
    expected = torch.tensor([1.0, 1.0, 1.0, 5.0])
    result = compare("a", "b", torch.tensor([1.0, 1.0, 1.0, 7.0]), expected, Bound(kind, error))
    assert result.error == pytest.approx(error)
    assert result.passed


@pytest.mark.parametrize("wrong", [torch.tensor([1.0, torch.nan]), torch.ones(3)], ids=str)
def test_nan_and_wrong_shapes_never_pass(wrong):
    result = compare("a", "b", wrong, torch.tensor([1.0, 2.0]), Bound("max", 1e9))
    assert not result.passed
    assert json.loads(to_json([result]))["results"][0]["error"] is None


def _fail_in_exact_float32():
    with exact_float32():
        assert torch.get_float32_matmul_precision() == "highest"
        assert not torch.backends.cudnn.allow_tf32
        raise KeyError("inside")


def test_tf32_is_off_inside_and_restored_after_an_error():
    torch.set_float32_matmul_precision("high")
    before = torch.backends.cudnn.allow_tf32
    try:
        with pytest.raises(KeyError, match="inside"):
            _fail_in_exact_float32()
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cudnn.allow_tf32 == before
    finally:
        torch.set_float32_matmul_precision("highest")


def test_no_library_for_audio_or_video_files_is_needed(made, monkeypatch):
    for name in ("av", "soundfile", "pyloudnorm", "soxr", "sentencepiece", "ftfy"):
        # ``None`` marks a package as absent.
        monkeypatch.setitem(sys.modules, name, None)
    assert not failures(run_parity(made))
