"""The pack's models are ComfyUI's to unload, and a render leaves nothing behind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .graphs import add_node
from .server import PACK
from .videos import frames_digest

pytestmark = pytest.mark.comfyui

FREE_TRIES = 3
GROWTH_LIMIT_BYTES = 64 * 2**20
"""The tiny model is 10 MB on disk; one leaked copy of it a run shows."""
DENOISER = "AvatarDiT"


def probe(comfy, kind, others=None):
    """Return what a node of the tests sees in ComfyUI's process.

    Older ComfyUI forgets what the prompt does not hold, so ``others`` are nodes to be kept.
    """
    prompt = add_node(others or {}, "probe", f"FlashTalkTest_{kind}")
    return comfy.render(prompt).outputs["probe"]


def test_free_unloads_and_a_run_after_it_gives_the_same_image(comfy, graph):
    before = comfy.render(graph())
    loaded = probe(comfy, "Networks", others=graph())
    assert DENOISER in loaded["managed"]
    assert DENOISER in loaded["alive"]
    comfy.post("/free", unload_models=True, free_memory=True)
    # ComfyUI frees when its worker is idle: on a busy machine a prompt may come first.
    probes = (probe(comfy, "Networks") for _ in range(FREE_TRIES))
    assert {"managed": [], "alive": []} in probes
    after = comfy.render(graph(preview__filename_prefix="after_free/avatar"))
    assert frames_digest(comfy.video(after)) == frames_digest(comfy.video(before))


def test_renders_in_a_row_do_not_grow_the_process(comfy, graph):
    sizes = []
    for seed in range(4):
        comfy.render(graph(sampler__seed=seed))
        sizes.append(probe(comfy, "Memory")["rss"][0])
    assert max(sizes[2:]) - sizes[1] < GROWTH_LIMIT_BYTES, sizes


def wait_for_fleets(comfy, expected, others=None):
    """Look until fleets are as expected: ComfyUI frees when its worker is idle."""
    found = [probe(comfy, "Fleets", others)["fleets"] for _ in range(FREE_TRIES)]
    assert expected in found


@pytest.mark.skipif(sys.platform != "linux", reason="several devices work on Linux")
def test_free_reaches_the_processes_of_several_devices(comfy, graph):
    several = graph(loader__devices="cpu,cpu", loader__limits="load=300, step=120")
    before = comfy.render(several)
    wait_for_fleets(comfy, [["cpu, cpu", True, True]], several)
    comfy.post("/free", unload_models=True)
    wait_for_fleets(comfy, [["cpu, cpu", True, False]], several)
    after = comfy.render(several | {"preview": named(several["preview"], "after_free/avatar")})
    assert frames_digest(comfy.video(after)) == frames_digest(comfy.video(before))
    comfy.post("/free", unload_models=True, free_memory=True)
    wait_for_fleets(comfy, [])


def named(node, prefix):
    return node | {"inputs": node["inputs"] | {"filename_prefix": prefix}}


def test_room_is_made_on_each_gpu_of_a_render_and_given_back_on_any(install):
    """ComfyUI's own model management, with two GPUs that are stand-ins."""
    script = Path(__file__).with_name("two_gpus.py")
    done = subprocess.run(
        [install.python, script, PACK, install.folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    native, ranks, both = {"native": 16}, {"rank": 15}, {"native": 6, "rank": 15}
    assert json.loads(done.stdout.splitlines()[-1]) == [
        ["native models", [native, native]],
        ["room is made", [{}, {}]],
        ["a render", [ranks, ranks]],
        ["a small native model on GPU 1", [ranks, both]],
        ["a render that needs its place", [ranks, ranks]],
        ["a native model on GPU 1", [{}, native]],
        ["a render again", [ranks, ranks]],
        ["/free", [{}, {}]],
    ]
