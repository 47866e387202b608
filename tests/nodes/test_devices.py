"""Devices by name, on every ComfyUI, and remedies that the node's own menu has."""

import re

import pytest
import torch

pytestmark = pytest.mark.cpu

GPUS = [torch.device("cuda", index) for index in range(2)]


@pytest.fixture
def management(pack):
    return pack["comfy.model_management"]


@pytest.fixture
def find_device(pack):
    return pack["nodes.host.devices"].find_device


def test_gpus_are_counted_as_comfyui_lists_them(management, find_device, monkeypatch):
    listed = [torch.device("cpu"), *reversed(GPUS)]
    monkeypatch.setattr(management, "get_all_torch_devices", lambda: listed)
    assert [find_device("gpu:0"), find_device("gpu:1")] == [GPUS[1], GPUS[0]]


def test_gpus_are_counted_where_comfyui_has_no_list(management, find_device, monkeypatch):
    monkeypatch.delattr(management, "get_all_torch_devices")
    monkeypatch.setattr(management, "get_torch_device", lambda: GPUS[0])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [find_device("gpu:0"), find_device("gpu:1")] == GPUS
    with pytest.raises(ValueError, match="sees 2 GPU"):
        find_device("gpu:2")


def test_a_comfyui_on_the_cpu_has_no_gpu(management, find_device, monkeypatch):
    monkeypatch.delattr(management, "get_all_torch_devices")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match="sees 0 GPU"):
        find_device("gpu:0")


def refusals(pack):
    """Yield each choice of a menu that this machine refuses, with its menu and the message."""
    sampled = {"speech": pack.speech(), "reference": pack.reference()}
    model = pack.run("ModelLoader").args[0]
    given = {"chunks": pack.run("ChunkSampler", model=model, **sampled).args[0]}
    error = pack["flashtalk_core.errors"].FlashTalkError
    for name in ("ModelLoader", "ParallelDecode"):
        inputs = pack.nodes[f"FlashTalk_{name}"].GET_SCHEMA().inputs
        links = {each.id: given[each.id] for each in inputs if each.id in given}
        for each in inputs:
            for option in each.options if each.io_type == "COMBO" else ():
                try:
                    pack.run(name, **links, **{each.id: option})
                except error as refused:
                    yield name, each, str(refused)


def test_a_remedy_names_only_what_the_menu_has(pack):
    checked = set()
    for name, menu, message in refusals(pack):
        remedy = message.rpartition(";")[2]
        for choice in re.findall(r"'([^']+)'", remedy):
            assert choice in menu.options, (name, menu.id, message)
            checked.add((name, menu.id))
    assert {("ModelLoader", "device"), ("ParallelDecode", "device")} <= checked


def test_what_comfyui_holds_of_intels_and_apples_gpus_counts_as_free(pack, management, monkeypatch):
    usable_bytes = pack["nodes.host.devices"].usable_bytes
    monkeypatch.setattr(management, "extra_reserved_memory", lambda: 5e8, raising=False)
    monkeypatch.setattr(torch.xpu, "mem_get_info", lambda _device: (9 * 10**9, 16 * 10**9))
    monkeypatch.setattr(torch.xpu, "memory_reserved", lambda _device: 4 * 10**9)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 48 * 10**9)
    assert usable_bytes(torch.device("xpu")) == 12_500_000_000
    assert usable_bytes(torch.device("mps")) == 47_500_000_000
    assert usable_bytes(torch.device("cpu")) is None
