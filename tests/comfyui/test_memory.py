"""The pack's models are ComfyUI's to unload, and a render leaves nothing behind."""

import pytest

from .graphs import add_node
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
