"""What users connect before and behind the pack: upscaling, interpolation, other packs' nodes."""

import os

import av
import pytest

from flashtalk_core.media.video.reading.measure import measure_video

from .graphs import UPSCALER, add_node
from .videos import frames_digest, measure

pytestmark = pytest.mark.comfyui

ANIMATED = {"force_rate": 0, "custom_width": 0, "custom_height": 0, "frame_load_cap": 0}
LOAD = {**ANIMATED, "skip_first_frames": 0, "select_every_nth": 1}
COMBINE = {"loop_count": 0, "format": "video/h264-mp4", "pingpong": False, "save_output": True}


def staged(prompt, **stage):
    """Put a Frame Stage between decoding and preview."""
    prompt["preview"]["inputs"]["frames"] = ["stage", 0]
    stage = {"frames": ["decode", 0], "scale": 0.0} | stage
    prompt = add_node(prompt, "stage", "FlashTalk_FrameStage", **stage)
    return add_node(prompt, "upscaler", "UpscaleModelLoader", model_name=UPSCALER)


def shape_of(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.height, stream.width


def test_an_upscaled_video_is_the_upscaled_frames_of_the_plain_one(comfy, graph):
    """Compared with ComfyUI's own node, which takes all frames at once."""
    settings = {"preview__quality": 0}
    prompt = graph(**settings)
    plain = comfy.video(comfy.render(prompt))
    outcome = comfy.render(staged(graph(**settings), upscale_model=["upscaler", 0]))
    larger = comfy.video(outcome)
    assert (shape_of(plain), shape_of(larger)) == ((64, 64), (128, 128))
    found = measure(larger)
    assert (found.num_frames, found.is_exact, found.num_samples) == (28, True, 48_510)
    native = add_node(prompt, "all", "GetVideoComponents", video=["preview", 0])
    native = add_node(native, "upscaler", "UpscaleModelLoader", model_name=UPSCALER)
    native = add_node(
        native, "up", "ImageUpscaleWithModel", upscale_model=["upscaler", 0], image=["all", 0]
    )
    native = add_node(native, "made", "CreateVideo", images=["up", 0], audio=["all", 1], fps=25.0)
    native = add_node(
        native, "save", "SaveVideo", video=["made", 0], filename_prefix="chain/native",
        format="mp4", codec="h264",
    )  # fmt: skip
    assert mean_difference(larger, comfy.video(comfy.render(native), "save")) < 6


def test_interpolated_frames_play_at_twice_the_rate(comfy, graph):
    if "FrameInterpolate" not in comfy.get_json("/object_info"):
        pytest.skip("this ComfyUI has no interpolation models")
    prompt = staged(graph(), interp_model=["rife", 0], upscale_model=["upscaler", 0], scale=1.5)
    outcome = comfy.render(add_node(prompt, "rife", "FlashTalkTest_SmallInterpolator"))
    path = comfy.video(outcome)
    found = measure_video(path, frame_rate_hz=50)
    assert (found.num_frames, found.is_exact, found.num_samples) == (55, True, 48_510)
    assert shape_of(path) == (96, 96)


def test_a_bypassed_stage_and_one_without_models_change_nothing(comfy, graph):
    plain = comfy.video(comfy.render(graph()))
    assert frames_digest(comfy.video(comfy.render(staged(graph())))) == frames_digest(plain)


def test_lips_follow_one_sound_and_another_is_heard(comfy, graph):
    mix = graph(speech__soundtrack=["mix", 0])
    mix = add_node(mix, "mix", "TrimAudioDuration", audio=["audio", 0], start_index=2.0, duration=3)
    path = comfy.video(comfy.render(mix))
    found = measure(path)
    assert (found.num_frames, found.num_samples) == (28, 48_510)
    assert frames_digest(path) == frames_digest(comfy.video(comfy.render(graph())))


@pytest.mark.skipif(
    "VIDEO_HELPER_SUITE" not in os.environ, reason="VIDEO_HELPER_SUITE names no folder of it"
)
def test_video_helper_suite_takes_path_and_images(comfy, graph):
    """Its loader by path is what upscales long videos piece by piece."""
    prompt = add_node(graph(), "load", "VHS_LoadVideoPath", video=["preview", 1], **LOAD)
    rest = {"images": ["load", 0], "audio": ["load", 2], "frame_rate": 25}
    prompt = add_node(
        prompt, "vhs", "VHS_VideoCombine", filename_prefix="chain/path", **rest, **COMBINE
    )
    prompt = add_node(
        prompt, "part", "FlashTalk_FramesToImages",
        video=["preview", 0], start=0.0, num_frames=0, limit_gb=1.0,
    )  # fmt: skip
    rest = {"images": ["part", 0], "audio": ["part", 1], "frame_rate": ["part", 2]}
    prompt = add_node(
        prompt, "images", "VHS_VideoCombine", filename_prefix="chain/images", **rest, **COMBINE
    )
    outcome = comfy.render(prompt)
    ours = comfy.video(outcome)
    for node in ("vhs", "images"):
        (made,) = outcome.outputs[node]["gifs"]
        path = comfy.output / made["subfolder"] / made["filename"]
        assert measure(path).num_frames == 28
        assert mean_difference(ours, path) < 6


def mean_difference(first, second):
    """Return how far the frames of two videos are from each other, of 255."""
    total, count = 0.0, 0
    with av.open(str(first)) as one, av.open(str(second)) as other:
        pairs = zip(one.decode(video=0), other.decode(video=0), strict=True)
        for frames in pairs:
            pixels = [frame.to_ndarray(format="rgb24").astype("float32") for frame in frames]
            total += float(abs(pixels[0] - pixels[1]).mean())
            count += 1
    return total / count
