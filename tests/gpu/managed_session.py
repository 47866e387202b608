"""A session on ComfyUI's model management, evicted in the middle; run by test_managed_networks.

Usage: ``managed_session.py ROOT COMFYUI [OPTION ...]``, options being ComfyUI's, such as ``--cpu``.
Prints one JSON object. Needs no server and no PyAV.
"""

import gc
import json
import logging
import sys
import types
import weakref
from pathlib import Path

ROOT, COMFYUI = map(Path, sys.argv[1:3])
sys.argv = [sys.argv[0], *sys.argv[3:]]
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
from pack.flashtalk_core.engine.build import build_avatar  # noqa: E402
from pack.flashtalk_core.engine.events import NO_EVENTS, EventHandlers  # noqa: E402
from pack.flashtalk_core.engine.resolve import Inputs, LocalHost, resolve  # noqa: E402
from pack.flashtalk_core.engine.session import run_session  # noqa: E402
from pack.flashtalk_core.engine.spec import PlacementSpec, RenderSpec, SamplingSpec  # noqa: E402
from pack.flashtalk_core.media.audio.probe import AnalysisStream  # noqa: E402
from pack.flashtalk_core.media.audio.source import AudioArray  # noqa: E402
from pack.flashtalk_core.placement.memory_plan import MemoryChoice  # noqa: E402
from pack.flashtalk_core.placement.residency import CachedNetworks  # noqa: E402
from pack.nodes.host.networks import ManagedNetworks  # noqa: E402
from PIL import Image  # noqa: E402

NUM_FRAMES = 60
device = management.get_torch_device()


def make_plan():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((1, 16_000 * 3)).astype(np.float32) * 0.1
    spec = RenderSpec(
        prompt="",
        size_px=(128, 128),
        sampling=SamplingSpec(steps=2, rule="euler"),
        placement=PlacementSpec(
            device=str(device),
            dtype="float32",
            attention="sdpa",
            speed="plain",
            memory=MemoryChoice("resident"),
            decode_latents=1,
        ),
    )
    image = Image.fromarray(rng.integers(0, 255, (128, 128, 3), np.uint8))
    inputs = Inputs(image=image, audio_inputs=(AudioArray("noise", noise, 16_000),))
    return resolve(spec, LocalHost(), inputs)


def frames_of(plan, networks, events=NO_EVENTS):
    with AnalysisStream(plan.audio) as samples:
        avatar = build_avatar(plan, samples, networks)
        return torch.cat(list(run_session(avatar, NUM_FRAMES, events=events)))


def used_bytes():
    return torch.cuda.memory_allocated() if device.type == "cuda" else 0


def evict(_state):
    """Take everything off the device, as another model in need of room does."""
    before = used_bytes()
    management.free_memory(1e30, device)
    evictions.append(before - used_bytes())


evictions = []
with torch.inference_mode():
    plan = make_plan()
    expected = frames_of(plan, CachedNetworks(plan.checkpoint, plan.placement))
    gc.collect()
    base = used_bytes()
    managed = ManagedNetworks(plan.checkpoint)
    undisturbed = frames_of(plan, managed.residency_for(plan, NO_EVENTS))
    loaded = used_bytes() - base
    disturbed = frames_of(plan, managed.residency_for(plan, NO_EVENTS), EventHandlers(state=evict))
management.unload_all_models()  # as POST /free does, outside of inference mode
after_free = used_bytes() - base
with torch.inference_mode():
    again = frames_of(plan, managed.residency_for(plan, NO_EVENTS))
died = weakref.ref(managed)
del managed
gc.collect()
management.cleanup_models()
sys.stdout.write(
    json.dumps(
        {
            "device": str(device),
            "managed_equals_own": torch.equal(expected, undisturbed),
            "evicted_equals_own": torch.equal(expected, disturbed),
            "after_free_equals_own": torch.equal(expected, again),
            "loaded_bytes": loaded,
            "evicted_bytes": evictions,
            "bytes_after_free": after_free,
            "bytes_after_drop": used_bytes() - base,
            "is_dropped": died() is None,
            "models_left": len(management.current_loaded_models),
        }
    )
)
