"""Every workflow that needs no download runs to its end."""

import copy
import json
import math

import pytest

from .graphs import DURATION_S
from .server import PACK
from .videos import embedded, measure, without_fingerprints

pytestmark = pytest.mark.comfyui

TINY = "tiny (bundled)"
SINK, LIVE = "FlashTalk_StreamPreview", "FlashTalk_Live"
FRAME_RATE_HZ = 25
RATE_HZ = 22_050
"""Of the bundled speech."""
QUICK = {
    "FlashTalk_AudioEncode": {"start": 0.0, "duration": DURATION_S},
    "FlashTalk_TwoSpeakers": {"turns": "1: 0-0.6, 2: 0.6-1.1"},
    "FlashTalk_ChunkSampler": {"steps": 1},
    SINK: {"keep_gb": 0.0},
    LIVE: {"steps": 1, "chunk_frames": 17, "max_minutes": 0.1, "allow_slow": True},
}
"""Inputs that are replaced: what only takes time."""


def needs_download(prompt):
    """Whether a model other than the bundled one is loaded."""
    return any(
        node["inputs"]["model"] != TINY
        if node["class_type"] == "FlashTalk_ModelLoader"
        else "Loader" in node["class_type"]
        for node in prompt.values()
    )


def load_workflows():
    paths = sorted((PACK / "workflows" / "api").glob("*.json"))
    prompts = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    return {name: prompt for name, prompt in prompts.items() if not needs_download(prompt)}


WORKFLOWS = load_workflows()


def quick(prompt):
    prompt = copy.deepcopy(prompt)
    for node in prompt.values():
        node["inputs"] |= QUICK.get(node["class_type"], {})
    return prompt


def test_at_least_one_workflow_runs_without_a_download():
    assert WORKFLOWS


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_workflow_runs_to_its_end(comfy, name):
    prompt = quick(WORKFLOWS[name])
    outcome = comfy.render(prompt, workflow={"name": name})
    kinds = {node_id: node["class_type"] for node_id, node in prompt.items()}
    sinks = [node_id for node_id, kind in kinds.items() if kind == SINK]
    live = [node_id for node_id, kind in kinds.items() if kind == LIVE]
    assert len(sinks) + len(live) == 1
    for sink in live:  # it ends by its longest time, whatever of it could be drawn
        assert measure(comfy.video(outcome, sink)).num_frames > FRAME_RATE_HZ
    for sink in sinks:
        path = comfy.video(outcome, sink)
        found = measure(path)
        assert found.num_frames == math.ceil(DURATION_S * FRAME_RATE_HZ)
        assert found.is_exact
        assert found.num_samples == round(DURATION_S * RATE_HZ)
        assert without_fingerprints(embedded(path)) == {
            "prompt": prompt,
            "workflow": {"name": name},
        }
