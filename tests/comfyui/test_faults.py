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


def refusal_of(comfy, prompt, node):
    """Return what is wrong with a node of a prompt that does not even start."""
    with pytest.raises(Refused) as refusal:
        comfy.run(prompt)
    return refusal.value.details(node)


def test_a_missing_model_is_refused_with_all_its_parts_before_the_run(server, comfy, graph):
    parts = ("model", "vae", "text_encoder", "clip_vision", "audio_encoder")
    said = refusal_of(comfy, graph(**{f"loader__{part}": "auto" for part in parts}), "loader")
    assert said.count("5 parts of the model are missing or cannot be used:") == 1
    for part in parts:
        assert said.count(f"- input '{part}': ") == 1
    assert "https://huggingface.co/Soul-AILab/SoulX-FlashTalk-14B" in said
    assert "diffusion_models" in said
    assert "Traceback" not in server.part()


@pytest.mark.parametrize("part", ["model", "vae"])
def test_a_file_that_is_gone_is_refused_with_a_remedy(comfy, graph, part):
    said = refusal_of(comfy, graph(**{f"loader__{part}": "gone.safetensors"}), "loader")
    assert f"input '{part}': " in said
    assert "choose another" in said


def test_a_fault_is_reported_in_short(server, comfy, graph):
    outcome = comfy.run(graph(speech__start=99.0))
    report = outcome.messages["execution_error"]
    assert report["exception_type"] == "flashtalk.InvalidInputError"
    assert server.part().count("Traceback (most recent call last)") == 1


def test_a_fault_sends_no_weights_to_the_page(comfy, graph):
    """ComfyUI sends ``str`` of everything a failing node was given."""
    outcome = comfy.run(graph(sampler__motion_frames=29, sampler__chunk_frames=5))
    given = outcome.messages["execution_error"]["current_inputs"]
    assert given["model"][0].startswith("FlashTalk model FlashTalk-tiny: ")
    assert all(len(str(value)) < 500 for values in given.values() for value in values)


def test_a_batch_of_two_audio_clips_is_refused(comfy, graph):
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
