"""What changed is said in the words of the command line."""

import pytest

from flashtalk_core.engine.request import PromptChange
from flashtalk_core.engine.spec import (
    ChunkSpec,
    LoraSpec,
    ModelSpec,
    PlacementSpec,
    RenderSpec,
    SamplingSpec,
    Speaker,
)
from flashtalk_core.jobs.changes import describe_changes
from flashtalk_core.placement.memory_plan import MemoryChoice

pytestmark = pytest.mark.cpu


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "a file, a version or a device changed"),
        ({"speakers": (Speaker(audio="/b.wav"),)}, "audio /b.wav was /a.wav"),
        ({"speakers": (Speaker(audio="/a.wav", mask="/m.png"),)}, "mask /m.png was not given"),
        ({"duration_s": None}, "duration not given was 4"),
        ({"portrait": "/q.png", "start_s": 1.5}, "image /q.png was /p.png, start 1.5 was 0"),
        ({"prompt": "a b"}, "prompt 'a b' was not given"),
        ({"prompt_changes": (PromptChange(2.0, "x"),)}, "prompt-at 2 'x' was not given"),
        ({"size_px": (64, 32)}, "size 64x32 was not given"),
        ({"sampling": SamplingSpec(colour_strength=0.5)}, "colour-strength 0.5 was not given"),
        ({"chunk": ChunkSpec(num_frames=33)}, "chunk-frames 33 was not given"),
        ({"model": ModelSpec(name="/w")}, "model /w was tiny"),
        ({"model": ModelSpec(loras=(LoraSpec("/l", 0.5),))}, "lora /l:0.5 was not given"),
        (
            {"placement": PlacementSpec(memory=MemoryChoice("offload", 3))},
            "memory offload:3 was auto",
        ),
        ({"placement": PlacementSpec(devices=("a", "b"))}, "devices a b was not given"),
        (
            {"fit": "pad", "prompt": "x", "duration_s": 1.0, "start_s": 1.0, "size_px": (32, 32)},
            "start 1 was 0, duration 1 was 4, prompt 'x' was not given and 2 more",
        ),
    ],
)
def test_changes_are_said_in_plain_words(changed, said):
    given = {"portrait": "/p.png", "speakers": (Speaker(audio="/a.wav"),), "duration_s": 4.0}
    assert describe_changes(RenderSpec(**given), RenderSpec(**given | changed)) == said
