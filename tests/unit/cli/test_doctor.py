"""The report on machine, packages and weights."""

import importlib.util
import json
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from flashtalk_core.acceleration.attention_kernels import KERNELS
from flashtalk_core.cli.diagnosis.doctor import list_devices
from flashtalk_core.cli.diagnosis.several_devices import list_several
from flashtalk_core.cli.main import main
from flashtalk_core.placement import topology as topology_module
from flashtalk_core.placement.topology import link_kinds, parse_links
from flashtalk_core.weights.discovery.layout import resolve_model

pytestmark = pytest.mark.cpu

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Report on the tiny model and an empty folder, as JSON and as text."""
    empty = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch:
        shown = []
        patch.setattr(sys.stdout, "write", shown.append)
        codes = [
            main(["doctor", "--model", str(empty), "--json"]),
            main(["doctor", "--model", str(empty)]),
        ]
    assert codes == [1, 1]
    return json.loads(shown[0]), shown[1], empty


def test_a_gpu_says_which_faster_modes_it_lacks_and_why(monkeypatch):
    old = SimpleNamespace(name="RTX 2080", total_memory=8 * 2**30, major=7, minor=5)
    for name, value in {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "get_device_properties": lambda index: old,
        "get_device_name": lambda device: old.name,
        "get_device_capability": lambda device: (old.major, old.minor),
        "device": nullcontext,
        "is_bf16_supported": lambda including_emulation: False,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "triton" or real(name))
    found = {each.name: each for each in list_devices()}
    assert "RTX 2080, 8.0 GiB, capability 7.5, no bfloat16" in found["cuda:0"].detail
    fused, float8 = found["cuda:0 fused"], found["cuda:0 float8"]
    assert not fused.found
    assert "it needs compute capability 8.0, this GPU has 7.5" in fused.detail
    assert not float8.found
    assert "it needs compute capability 8.9, this GPU has 7.5" in float8.detail


def test_devices_and_kernels_are_listed(report):
    found, text, _ = report
    assert found["devices"][0]["name"] == "cpu"
    assert "threads" in found["devices"][0]["detail"]
    assert any(device["name"].startswith("cuda") for device in found["devices"])
    assert {k["name"] for k in found["attention"]} == {
        "sdpa",
        "sdpa-cudnn",
        *(k.name for k in KERNELS),
    }
    assert all(kernel.gain in text for kernel in KERNELS)


def test_packages_say_what_they_bring(report):
    found, _, _ = report
    optional = {package["name"]: package for package in found["optional"]}
    assert {"opencv-python-headless", "spandrel", "soundfile", "triton"} == optional.keys()
    assert "ftfy" in {package["name"] for package in found["required"]}
    assert all(package["detail"] for package in optional.values())
    assert all(package["found"] for package in found["required"])
    assert all(encoder["found"] for encoder in found["encoders"])


def test_what_several_devices_need_is_listed_and_nothing_of_it_imported(report):
    found, text, _ = report
    names = ["GPUs", "links", "exchange", "NCCL", "xfuser", "ray"]
    assert [each["name"] for each in found["several"]] == names
    assert "\nseveral devices together\n" in text
    assert not {"ray", "xfuser"} & sys.modules.keys()


@pytest.mark.parametrize(
    ("reach", "is_good", "says"),
    [
        (lambda one, other: True, True, "each GPU reads the memory of each other one"),
        (
            lambda one, other: False,
            False,
            "through main memory (all pairs): expect little gain; a "
            "batch renders a video on each of them (batch --devices 0,1,2)",
        ),
        (lambda one, other: (one, other) != (0, 2), False, "through main memory (0-2): expect"),
    ],
)
def test_links_between_gpus_are_judged(monkeypatch, reach, is_good, says):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "can_device_access_peer", reach)
    for module in ("placement.links", "cli.diagnosis.several_devices"):
        monkeypatch.setattr(f"flashtalk_core.{module}.known_links", dict)
    gpus, links, *_ = list_several()
    assert (gpus.found, gpus.detail) == (sys.platform == "linux", "3, --devices 0,1,2")
    assert links.found is is_good
    assert links.detail.startswith(says)


TOPOLOGY = """\t\x1b[4mGPU0\tGPU1\tGPU2\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m
GPU0\t X \tNV18\tPHB\t0-31\t0\t\tN/A
GPU1\tNV18\t X \tPHB\t0-31\t0\t\tN/A
GPU2\tPHB\tPHB\t X \t0-31\t0\t\tN/A

Legend:
"""


@pytest.fixture
def topology(monkeypatch):
    """Three GPUs as NVIDIA's program tells of them, of which this process sees two."""
    answers = {"topo": TOPOLOGY, "--query-gpu=uuid": "GPU-a\nGPU-b\nGPU-c\n"}
    monkeypatch.setattr(topology_module, "_ask", lambda what, *_options: answers[what])
    seen = [SimpleNamespace(uuid="c"), SimpleNamespace(uuid="b")]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(seen))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: seen[number])
    monkeypatch.setattr(torch.cuda, "can_device_access_peer", lambda one, other: True)
    link_kinds.cache_clear()
    yield seen
    link_kinds.cache_clear()


def test_kinds_of_links_are_read_from_the_topology_for_the_gpus_that_are_seen(topology):
    assert parse_links(TOPOLOGY)[0, 1] == "18 NVLinks"
    assert parse_links("") == {}
    assert link_kinds() == {(0, 1): "PCIe (PHB)", (1, 0): "PCIe (PHB)"}
    _gpus, links, *_ = list_several()
    assert links.detail.startswith("over PCIe (PHB), not NVLink (0-1): expect little gain")
    topology[0].uuid = "a"
    link_kinds.cache_clear()
    _gpus, links, *_ = list_several()
    assert (links.found, links.detail) == (
        True, "each GPU reads the memory of each other one, over 18 NVLinks",
    )  # fmt: skip


def test_the_bundled_model_is_complete(report):
    tiny = report[0]["models"][0]
    assert tiny["problem"] is None
    assert [part["found"] for part in tiny["parts"]] == [True] * 6
    assert "diffusion_pytorch_model.safetensors" in tiny["parts"][0]["detail"]


def test_missing_weights_are_reported_with_where_to_get_them(report):
    found, text, empty = report
    model = found["models"][1]
    assert model["folder"] == str(empty)
    assert "diffusion transformer not found" in model["problem"]
    assert "https://huggingface.co/" in model["parts"][0]["detail"]
    assert f"weights in {empty}: cannot be used\n" in text


def test_a_folder_that_is_not_there_is_reported(capsys):
    assert main(["doctor", "--model", "/no/such/folder"]) == 1
    assert "no such folder" in capsys.readouterr().out


def test_weights_that_are_complete_end_well(tmp_path, capsys):
    whole = tmp_path / "whole"
    whole.symlink_to(resolve_model("tiny"), target_is_directory=True)
    assert main(["doctor", "--model", str(whole)]) == 0
    assert f"weights in {whole}: complete" in capsys.readouterr().out


def test_one_missing_part_is_reported_and_fails(tmp_path, capsys):
    damaged = shutil.copytree(resolve_model("tiny"), tmp_path / "damaged")
    (damaged / "spiece.model").unlink()
    assert main(["doctor", "--model", str(damaged)]) == 1
    assert "missing  tokenizer" in capsys.readouterr().out


def test_it_runs_where_nothing_is_installed():
    script = (
        "import sys\n"
        "for name in ('torch', 'numpy', 'av', 'transformers', 'safetensors'):\n"
        "    sys.modules[name] = None\n"
        "from flashtalk_core.cli.main import main\n"
        "sys.exit(main(['doctor']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "missing  torch" in done.stdout
    assert "missing  libx264" in done.stdout
    assert "cannot be used" in done.stdout
