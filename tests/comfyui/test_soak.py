"""Fifty prompts in one ComfyUI: its process does not grow."""

import json
import os
import sys
from dataclasses import asdict

import pytest

from flashtalk_core.bench.soak.readings import find_slopes, read_process

pytestmark = [
    pytest.mark.manual,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc"),
]

NUM_PROMPTS = int(os.environ.get("SOAK_PROMPTS", "50"))
SMALL = {"speech__duration": 1.0, "reference__size.width": 32, "reference__size.height": 32}
MOST_MB_PER_PROMPT = 0.5
"""A copy of the tiny model takes 10 MB."""


def test_fifty_prompts_in_one_process_do_not_grow_it(comfy, graph, server, capsys):
    readings = []
    for seed in range(NUM_PROMPTS):
        outcome = comfy.render(graph(sampler__seed=seed, **SMALL))
        comfy.video(outcome).unlink()
        readings.append(read_process(seed, server.pid))
    slopes = find_slopes(readings)
    with capsys.disabled():
        sys.stdout.write(f"\n{json.dumps(asdict(slopes))}\n")
    assert slopes.rss_mb_per_unit < MOST_MB_PER_PROMPT
    assert slopes.handles_last <= slopes.handles_first + 2
    assert slopes.threads_last <= slopes.threads_first + 2
