"""The workflow for several GPUs renders on two processes what it renders on one device."""

import copy
import logging
import os

import av
import numpy as np
import pytest
import torch

from tests.unit.runtime.conftest import DEVICES, fleet_processes

from .schemas import schema_of_node

NAME = "api/5_several_gpus.json"
LOADER, DECODE = "FlashTalk_ModelLoader", "FlashTalk_ParallelDecode"
TINY = {"model": "tiny (bundled)"} | dict.fromkeys(
    ("vae", "text_encoder", "clip_vision", "audio_encoder"), "auto"
)
QUICK = {
    LOADER: TINY,
    "FlashTalk_AudioEncode": {"duration": 0.32},
    "FlashTalk_Reference": {"size": "custom", "size.width": 32, "size.height": 32},
    "FlashTalk_ChunkSampler": {"steps": 1, "chunk_frames": 9},
    "FlashTalk_StreamPreview": {"keep_gb": 0.0},
}
"""The bundled model, and eight frames in two chunks."""
MAX_LEVELS = 4
"""Of 255: sums are rounded in another order, and H.264 rounds once more."""
MAX_MEAN_LEVELS = 1.5
"""Where that is done in bfloat16."""


@pytest.fixture
def render(pack, read_workflow):
    """Run the workflow with some inputs replaced, and return its frames."""

    def render(**inputs_by_class):
        prompt = copy.deepcopy(read_workflow(NAME))
        for changes in (QUICK, inputs_by_class):
            for node in prompt.values():
                node["inputs"] |= changes.get(node["class_type"], {})
        outputs = run_prompt(pack, prompt)
        (sink,) = (name for name, node in prompt.items() if "StreamPreview" in node["class_type"])
        return read_frames(outputs[sink][0].get_stream_source())

    return render


def run_prompt(pack, prompt):
    """Run the nodes of a prompt, each after those that it needs."""
    outputs = {}
    while len(outputs) < len(prompt):
        for name, node in prompt.items():
            links = {k: v for k, v in node["inputs"].items() if isinstance(v, list)}
            if name in outputs or not {source for source, _ in links.values()} <= outputs.keys():
                continue
            values = node["inputs"] | {k: outputs[at][slot] for k, (at, slot) in links.items()}
            kind = node["class_type"].removeprefix("FlashTalk_")
            outputs[name] = pack.run(kind, **values).args
    return outputs


def read_frames(path):
    with av.open(str(path)) as video:
        return np.stack([each.to_ndarray(format="rgb24") for each in video.decode(video=0)])


@pytest.mark.ranks
def test_the_workflow_names_devices_and_its_decoder_takes_all_of_them(read_workflow):
    inputs = {node["class_type"]: node["inputs"] for node in read_workflow(NAME).values()}
    assert inputs[LOADER]["devices"] == "0,1"
    assert inputs[LOADER]["device"] == "auto"
    assert (inputs[DECODE]["grid"], inputs[DECODE]["devices"]) == ("auto", "")


@pytest.mark.ranks
def test_every_grid_of_the_menu_is_one_that_the_decoder_knows(pack):
    check_grid = pack["flashtalk_core.parallel.bands"].check_grid
    inputs = {each["name"]: each for each in schema_of_node(pack.nodes[DECODE])["inputs"]}
    for grid in inputs["grid"]["options"]:
        check_grid(grid)


@pytest.mark.ranks
def test_two_processes_render_the_workflow_as_one_device_does(render, caplog):
    before = fleet_processes(os.getpid())
    whole = render(**{LOADER: {"devices": ""}})

    caplog.set_level(logging.INFO)
    divided = render(
        **{
            LOADER: {"devices": ",".join(DEVICES)},
            DECODE: {"grid": "columns", "devices": "0,1"},
        }
    )
    ranks = [line for line in caplog.messages if line.startswith("cpu (rank ")]
    assert [line.partition(":")[0] for line in ranks] == ["cpu (rank 0)", "cpu (rank 1)"]
    assert divided.shape == whole.shape == (8, 32, 32, 3)
    assert np.abs(divided.astype(int) - whole).max() <= MAX_LEVELS
    assert whole.std() > MAX_LEVELS
    assert fleet_processes(os.getpid()) == before, "they end with the model loader's output"


@pytest.fixture
def gpus(pack, monkeypatch):
    """ComfyUI works on the first of two GPUs."""
    gpus = [torch.device("cuda", index) for index in (0, 1)]
    management = pack["comfy.model_management"]
    monkeypatch.setattr(management, "get_torch_device", lambda: gpus[0])
    monkeypatch.setattr(management, "get_all_torch_devices", lambda: gpus)
    monkeypatch.setattr(management, "should_use_bf16", lambda _device: True)
    monkeypatch.setattr(management, "extra_reserved_memory", lambda: 0, raising=False)
    return gpus


@pytest.mark.multigpu
def test_two_gpus_render_the_workflow_as_one_does(pack, render, gpus, caplog):
    """Over NCCL, steps as CUDA graphs at this size; the pack has the name that ComfyUI gives it."""
    before = fleet_processes(os.getpid())
    whole = render(**{LOADER: {"devices": ""}})
    pack["comfy.model_management"].unload_all_models()

    caplog.set_level(logging.INFO)
    divided = render(**{LOADER: {"devices": "0,1"}})
    ranks = [line for line in caplog.messages if "(rank " in line]
    name = torch.cuda.get_device_name(gpus[0])
    assert ranks == [f"GPU {index} (rank {index}): {name}" for index in (0, 1)]
    assert divided.shape == whole.shape == (8, 32, 32, 3)
    assert np.abs(divided.astype(int) - whole).mean() <= MAX_MEAN_LEVELS
    assert whole.std() > 2 * MAX_MEAN_LEVELS
    assert fleet_processes(os.getpid()) == before
