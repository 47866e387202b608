"""Two GPUs of 24 GB, stand-ins, under ComfyUI's real model management; run by test_memory.

Usage: ``two_gpus.py ROOT COMFYUI``. Prints what lies on each GPU after each event, GB, as JSON.
"""

import json
import logging
import sys
import types
from dataclasses import replace
from pathlib import Path

ROOT, COMFYUI = map(Path, sys.argv[1:3])
sys.argv = [sys.argv[0], "--cpu"]
sys.path.insert(0, str(COMFYUI))
logging.disable(logging.WARNING)
for name, folder in (("pack", ROOT), ("pack.nodes", ROOT / "nodes")):
    # The package files themselves would import all of ComfyUI.
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = [str(folder)]

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()

import comfy.model_management as management  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from comfy.model_patcher import ModelPatcher  # noqa: E402
from pack.flashtalk_core.engine.events import NO_EVENTS  # noqa: E402
from pack.flashtalk_core.engine.resolve import Inputs, LocalHost, resolve  # noqa: E402
from pack.flashtalk_core.engine.spec import PlacementSpec, RenderSpec  # noqa: E402
from pack.flashtalk_core.media.audio.probe import AnalysisStream  # noqa: E402
from pack.flashtalk_core.media.audio.source import AudioArray  # noqa: E402
from pack.flashtalk_core.runtime.fleet import Fleet  # noqa: E402
from pack.flashtalk_core.runtime.messages import RankMemory  # noqa: E402
from pack.nodes.host.fleet import ManagedFleet  # noqa: E402
from PIL import Image  # noqa: E402
from torch import nn  # noqa: E402

GB = 10**9
GPUS = torch.device("cuda", 0), torch.device("cuda", 1)
PEAK = 18 * GB
held = {gpu: {} for gpu in GPUS}
"""Bytes by what holds them."""


def free_bytes(device):
    return 24 * GB - sum(held[device].values())


def get_free_memory(device=None, torch_free_too=False):
    found = free_bytes(device)
    return (found, found) if torch_free_too else found


management.get_free_memory = get_free_memory
management.get_torch_device = lambda: GPUS[0]
management.get_all_torch_devices = lambda exclude_current=False: list(GPUS)
management.soft_empty_cache = lambda *_args, **_kwargs: None
torch.cuda.mem_get_info = lambda device: (free_bytes(device), 24 * GB)
torch.cuda.memory_reserved = lambda _device: 0


class NativePatcher(ModelPatcher):
    """A model of ComfyUI's own."""

    def __init__(self, device, num_bytes):
        super().__init__(nn.Module(), device, torch.device("cpu"))
        self.num_bytes = num_bytes

    def model_size(self):
        return self.num_bytes

    def partially_load(self, device_to, *_args, **_kwargs):
        held[device_to]["native"] = self.num_bytes
        self.model.device = device_to
        self.model.model_loaded_weight_memory = self.num_bytes
        return self.num_bytes

    def partially_unload(self, *_args, **_kwargs):
        return 0

    def detach(self, unpatch_all=True):
        if unpatch_all:
            held[self.load_device].pop("native", None)
            self.model.model_loaded_weight_memory = 0
            self.model.device = self.offload_device
        return self.model


class Workers:
    """Ranks that answer at once; weights take 15 GB of each GPU."""

    ready: dict = {}  # noqa: RUF012 - they say nothing of themselves

    def __init__(self, _devices, _limits):
        self.is_running = True

    @property
    def memory(self):
        return {
            rank: RankMemory(free_bytes=free_bytes(gpu), held_bytes=held[gpu].get("rank", 0))
            for rank, gpu in enumerate(GPUS)
        }

    def share_frames(self, _chunk, _size_px):
        return None

    def free_frames(self):
        pass

    def run(self, make, _blobs=()):
        for gpu in GPUS:
            held[gpu]["rank"] = 15 * GB
        return iter(())

    def run_quietly(self, make):
        if make(1).networks:
            for gpu in GPUS:
                held[gpu].pop("rank", None)

    def settle(self):
        pass

    def close(self):
        self.is_running = False

    kill = close


def make_plan():
    noise = np.random.default_rng(0).standard_normal((1, 8_000)).astype(np.float32) * 0.1
    spec = RenderSpec(prompt="", size_px=(32, 32), placement=PlacementSpec(device="cpu"))
    inputs = Inputs(
        image=Image.new("RGB", (32, 32)), audio_inputs=(AudioArray("noise", noise, 16_000),)
    )
    plan = resolve(spec, LocalHost(), inputs)
    memory = replace(plan.placement.memory, peak_bytes=PEAK)
    return replace(plan, placement=replace(plan.placement, memory=memory))


seen = []


def note(event):
    found = [{name: size // GB for name, size in held[gpu].items()} for gpu in GPUS]
    seen.append((event, [dict(sorted(each.items())) for each in found]))


def render():
    engine = managed.engine_for(PEAK)
    with AnalysisStream(plan.audio) as samples, engine.open(plan, samples, NO_EVENTS):
        pass


plan = make_plan()
fleet = Fleet(("cuda:0", "cuda:1"), start=Workers)
managed = ManagedFleet(fleet)
natives = [NativePatcher(gpu, 16 * GB) for gpu in GPUS]
small = NativePatcher(GPUS[1], 6 * GB)
management.load_models_gpu(natives, force_full_load=True)
note("native models")
managed.engine_for(PEAK)
note("room is made")
render()
note("a render")
management.load_models_gpu([small], force_full_load=True)
note("a small native model on GPU 1")
render()
note("a render that needs its place")
management.load_models_gpu([natives[1]], force_full_load=True)
note("a native model on GPU 1")
render()
note("a render again")
management.unload_all_models()
note("/free")
assert fleet.is_running
fleet.close()
sys.stdout.write(json.dumps(seen))
