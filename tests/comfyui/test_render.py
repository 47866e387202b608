"""From graph to file."""

import pytest
from PIL import Image

from .graphs import OWN_SIZE, TWO_CHUNKS_S, add_node
from .videos import embedded, frames_digest, measure, without_fingerprints

pytestmark = pytest.mark.comfyui

WORKFLOW = {"nodes": [], "version": 0.4}


def test_the_video_has_every_frame_and_sample_and_the_workflow(comfy, graph):
    prompt = graph(**OWN_SIZE)
    outcome = comfy.render(prompt, workflow=WORKFLOW)
    path = comfy.video(outcome)
    found = measure(path)
    assert path.name == "avatar_00001_.mp4"
    assert (found.num_frames, found.is_exact) == (28, True)  # 27.5 rounded up
    assert (found.num_samples, found.rate_hz) == (48_510, 44_100)
    assert without_fingerprints(embedded(path)) == {"prompt": prompt, "workflow": WORKFLOW}
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_the_page_can_fetch_the_video(comfy, graph):
    outcome = comfy.render(graph())
    (saved,) = outcome.outputs["preview"]["images"]
    query = "&".join(f"{name}={saved[name]}" for name in ("filename", "subfolder", "type"))
    assert comfy.get(f"/view?{query}") == comfy.video(outcome).read_bytes()
    assert outcome.outputs["preview"]["animated"] == [True]


def test_a_graph_without_parallel_decode_renders_the_same(comfy, graph):
    default = comfy.render(graph(decode__latents_per_call=0))
    without = graph(preview__frames=["sampler", 0])
    del without["decode"]
    outcome = comfy.render(without)
    assert frames_digest(comfy.video(outcome)) == frames_digest(comfy.video(default))


def test_native_nodes_take_a_video_of_two_chunks_and_prompts(comfy, graph):
    prompt = graph(speech__duration=TWO_CHUNKS_S, reference__prompt_changes="1.1: She smiles")
    prompt = add_node(
        prompt,
        "save",
        "SaveVideo",
        video=["preview", 0],
        filename_prefix="native/saved",
        format="auto",
        codec="auto",
    )
    prompt = add_node(
        prompt,
        "part",
        "FlashTalk_FramesToImages",
        video=["preview", 0],
        start=1.0,
        num_frames=2,
        limit_gb=1.0,
    )
    prompt = add_node(prompt, "images", "PreviewImage", images=["part", 0])
    prompt = add_node(
        prompt, "sound", "SaveAudio", audio=["part", 1], filename_prefix="native/sound"
    )
    outcome = comfy.render(prompt)
    ours, native = comfy.video(outcome), comfy.video(outcome, "save")
    assert frames_digest(native) == frames_digest(ours)
    assert measure(native).num_frames == 50
    assert len(outcome.outputs["images"]["images"]) == 2
    assert outcome.outputs["sound"]["audio"]


def test_a_list_of_images_makes_a_video_of_each(comfy, graph):
    prompt = graph(reference__image=["each", 0])
    prompt = add_node(prompt, "two", "RepeatImageBatch", image=["image", 0], amount=2)
    prompt = add_node(prompt, "each", "RebatchImages", images=["two", 0], batch_size=1)
    videos = comfy.render(prompt).outputs["preview"]["images"]
    assert len({video["filename"] for video in videos}) == 2


def test_size_and_container_are_the_ones_chosen(comfy, graph):
    prompt = graph(**{"reference__size.width": 96}, preview__container="mkv")
    prompt = add_node(
        prompt,
        "part",
        "FlashTalk_FramesToImages",
        video=["preview", 0],
        start=0.0,
        num_frames=1,
        limit_gb=1.0,
    )
    prompt = add_node(
        prompt, "save", "SaveImage", images=["part", 0], filename_prefix="sizes/frame"
    )
    outcome = comfy.render(prompt)
    assert comfy.video(outcome).suffix == ".mkv"
    with Image.open(comfy.video(outcome, "save")) as frame:
        assert frame.size == (96, 64)
