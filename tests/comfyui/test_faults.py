"""What a user gets wrong is said in one line that names the input."""

import pytest

from .client import Refused
from .graphs import LARGE_VIDEO, add_node

pytestmark = pytest.mark.comfyui


def error_of(comfy, prompt):
    """Return the one line a prompt fails with; no chunk may have been drawn."""
    outcome = comfy.run(prompt)
    assert not outcome.is_success
    assert "preview" not in outcome.outputs
    line = outcome.error
    assert "\n" not in line
    return line


def test_a_missing_model_names_the_input_the_names_and_the_source(comfy, graph):
    line = error_of(comfy, graph(loader__model="auto"))
    assert line.startswith("FlashTalk Model Loader, input 'model': ")
    assert "flashtalk" in line
    assert "diffusion_models" in line
    assert "Soul-AILab/SoulX-FlashTalk-14B" in line


def test_a_missing_model_is_logged_once(server, comfy, graph):
    error_of(comfy, graph(loader__model="auto"))
    assert "WARNING" not in server.part()
    assert server.part().count("Exception during processing") == 1


def test_two_sounds_at_once_are_refused(comfy, graph):
    prompt = add_node(graph(), "two", "FlashTalkTest_TwoSounds", audio=["audio", 0])
    prompt["speech"]["inputs"]["audio"] = ["two", 0]
    line = error_of(comfy, prompt)
    assert line.startswith("FlashTalk Audio Encode, input 'audio': audio batch of 2: ")


def test_a_size_that_cannot_be_drawn_is_refused(comfy, graph):
    line = error_of(comfy, graph(**{"reference__size.width": 100}))
    assert line.startswith("FlashTalk Reference, input 'size': ")
    assert "100" in line
    assert "16" in line


def test_a_start_after_the_end_is_refused(comfy, graph):
    line = error_of(comfy, graph(speech__start=99.0))
    assert line.startswith("FlashTalk Audio Encode, input 'start': ")
    assert "99" in line


def test_motion_frames_that_fill_the_chunk_are_refused(comfy, graph):
    line = error_of(comfy, graph(sampler__motion_frames=29, sampler__chunk_frames=5))
    assert line.startswith("FlashTalk Chunk Sampler, input 'motion_frames': ")


def test_a_prompt_without_a_second_is_refused(comfy, graph):
    line = error_of(comfy, graph(reference__prompt_changes="She smiles"))
    assert line.startswith("FlashTalk Reference, input 'prompt_changes': ")


def test_a_gpu_that_is_not_there_is_refused(comfy, graph):
    line = error_of(comfy, graph(decode__device="gpu:0"))
    assert line.startswith("FlashTalk Parallel Decode, input 'device': device gpu:0: ")


def test_a_name_outside_the_output_folder_is_refused(comfy, graph):
    line = error_of(comfy, graph(preview__filename_prefix="../../outside"))
    assert line.startswith("FlashTalk Stream Preview, input 'filename_prefix': ")


def test_frames_that_take_too_much_memory_are_refused_with_a_number(comfy):
    prompt = add_node({}, "video", "LoadVideo", file=LARGE_VIDEO)
    prompt = add_node(
        prompt,
        "part",
        "FlashTalk_FramesToImages",
        video=["video", 0],
        start=0.0,
        num_frames=0,
        limit_gb=0.1,
    )
    prompt = add_node(prompt, "images", "PreviewImage", images=["part", 0])
    line = error_of(comfy, prompt)
    assert line.startswith("FlashTalk Frames to Images, input 'num_frames': frames 30: ")
    assert "0.1 GB" in line
    assert "at most 20 frames" in line


@pytest.mark.parametrize(
    ("place", "value"),
    [("speech__start", -1.0), ("sampler__steps", 0), ("preview__container", "avi")],
)
def test_values_out_of_range_do_not_even_start(comfy, graph, place, value):
    with pytest.raises(Refused) as refusal:
        comfy.run(graph(**{place: value}))
    node, name = place.split("__")
    assert name in refusal.value.details(node)
