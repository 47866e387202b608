"""One ComfyUI without options, the whole day: each test goes on where the one before left it.

In this order: what a prompt takes depends on what is in memory.
"""

import time

import pytest

from tests.comfyui.graphs import add_node
from tests.comfyui.websocket import Listener

from .command_line import pace_of_command_line
from .session import CHUNK_FRAMES, EMPTY_GB, EMPTY_HOST_GB, FRAME_RATE_HZ
from .weight_files import LORA

pytestmark = [pytest.mark.comfyui_gpu, pytest.mark.usefixtures("server")]

SAME_GB = 1.0
"""By which device or host memory may differ where nothing should have changed."""
GROWTH_GB = 0.2
"""Over the last three of five prompts."""
LONG_CHUNKS = 6
SLOWER = 0.02
MOST_STOP_S = 4.0
"""A step of the full size takes 0.6 s."""
FP8_GB = 50.0
"""20 of the transformer, 11 of the text encoder, and what they work in; in bfloat16 19 more."""
LEFT_GB = 20.0
"""Of the device, beside a model in need of room: less than the transformer."""


def test_the_second_prompt_reads_nothing_again(shards):
    first = shards.render("first prompt: load and render", shards.graph())
    second = shards.render("another text", shards.graph(reference__prompt="A man sings."))
    third = shards.render("the same text, another seed", shards.graph())
    if shards.is_bounded:
        assert first.device > 30
        assert abs(third.device - second.device) < SAME_GB
        assert abs(third.host - second.host) < SAME_GB


def test_five_prompts_in_a_row_leave_nothing(shards):
    found = [shards.render(f"in a row, {i + 1} of 5", shards.graph()) for i in range(5)]
    if shards.is_bounded:
        assert found[4].device - found[1].device < GROWTH_GB
        assert found[4].host_own - found[1].host_own < GROWTH_GB
    assert found[4].handles <= found[1].handles + 2
    assert found[4].threads <= found[1].threads + 4


def test_a_prompt_is_as_fast_as_the_command_line(shards, install, base, report):
    duration_s = LONG_CHUNKS * CHUNK_FRAMES / FRAME_RATE_HZ
    full = shards.render("six chunks", shards.graph(speech__duration=duration_s))
    here = report.rows[-1]["frames_per_s"]
    # The command line is to find the room that the server had.
    empty = shards.free("/free before the command line")
    start_s = time.monotonic()
    there = pace_of_command_line(install, base, duration_s, is_small=not shards.is_bounded)
    seconds = time.monotonic() - start_s
    report.add("command line", "six chunks", seconds=seconds, frames_per_s=there)
    again = shards.render("read again after /free", shards.graph())
    if shards.is_bounded:
        assert empty.reserved <= EMPTY_GB
        assert abs(again.device - full.device) < SAME_GB
        assert here > (1 - SLOWER) * there


def test_an_interrupt_stops_in_a_step(shards):
    prompt = shards.graph(sampler__steps=60)
    with Listener(shards.server.port, shards.client.id) as listener:
        prompt_id = shards.client.queue(prompt)
        listener.wait_for(is_denoising, 120)
        start_s = time.monotonic()
        shards.client.post("/interrupt")
        listener.wait_for(lambda message: message.kind == "execution_interrupted", 120)
        stopped_s = time.monotonic() - start_s
    outcome = shards.client.wait(prompt_id)
    shards.note("interrupted in a step", seconds=stopped_s)
    assert outcome.messages["execution_interrupted"]["node_id"] == "preview"
    shards.render("after the interrupt", shards.graph())
    if shards.is_bounded:
        assert stopped_s < MOST_STOP_S


def is_denoising(message):
    """Whether the bar has moved, and no chunk is done yet."""
    if message.kind != "progress_state":
        return False
    bar = message.data["nodes"].get("preview", {})
    return 0 < bar.get("value", 0) < 700


def test_another_model_takes_the_room_and_gives_it_back(shards):
    prompt, before = shards.graph(), shards.note("before another model")
    # The model stays in the prompt, so that ComfyUI does not forget it; nothing is rendered.
    del prompt["preview"]
    prompt = add_node(prompt, "ballast", "FlashTalkTest_Ballast", left_gb=LEFT_GB)
    start_s = time.monotonic()
    outcome = shards.client.run(prompt)
    evicted = shards.note("another model has the room", seconds=time.monotonic() - start_s)
    assert outcome.is_success, outcome.messages
    after = shards.render("back after another model", shards.graph())
    if shards.is_bounded:
        assert evicted.host_own < before.host_own + SAME_GB  # it is forgotten, and read again
        assert after.host_own < before.host_own + SAME_GB
        assert after.device < before.device + SAME_GB  # the text encoder is not needed again


def test_a_lora_is_merged_into_weights_of_its_own(shards):
    shards.render("LoRA: load and render", with_lora(shards.graph()))
    shards.render("the same LoRA again", with_lora(shards.graph()))
    shards.render("without it again", shards.graph())


def with_lora(prompt):
    lora = {"model": ["loader", 0], "lora": LORA, "strength": 1.0}
    prompt = add_node(prompt, "lora", "FlashTalk_LoRA", **lora)
    prompt["sampler"]["inputs"]["model"] = ["lora", 0]
    return prompt


def test_fp8_takes_less_room(shards):
    before = shards.free("/free")
    small = shards.render("FP8 of the same files: load and render", fp8(shards.graph()))
    shards.render("FP8 again", fp8(shards.graph()))
    if shards.is_bounded:
        assert before.reserved <= EMPTY_GB
        assert small.device < FP8_GB


def fp8(prompt):
    # The CPU has no such products.
    prompt["loader"]["inputs"]["float8"] = prompt["reference"]["inputs"]["size"] != "custom"
    return prompt


def test_free_gives_everything_back(shards):
    empty = shards.free("/free at the end")
    if shards.is_bounded:
        assert empty.reserved <= EMPTY_GB
        assert empty.host_own <= EMPTY_HOST_GB
