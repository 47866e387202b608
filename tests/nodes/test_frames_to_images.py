"""Frames to Images: a part of a finished video as IMAGE and AUDIO."""

import io
from fractions import Fraction
from types import SimpleNamespace

import av
import pytest
import torch

pytestmark = pytest.mark.cpu


def refused(text):
    return f"FlashTalk Frames to Images, input {text}"


@pytest.fixture
def video(pack, rendered):
    """The rendered video, 38 frames of 32 x 32, as the graph hands it on; trimmed by request."""
    made = pack["comfy_api.latest"].InputImpl.VideoFromFile
    return lambda **trim: made(str(rendered.path), **trim)


def test_a_part_is_read_as_images_and_audio(pack, video):
    images, audio, fps = pack.run("FramesToImages", video=video(), start=0.4, num_frames=10).args
    assert (images.shape, images.dtype) == ((10, 32, 32, 3), torch.float32)
    assert 0 <= images.min() < images.max() <= 1
    assert fps == 25.0
    assert audio["sample_rate"] == 44_100
    assert audio["waveform"].shape == (1, 2, round(0.4 * 44_100))


def test_the_part_is_the_one_that_was_asked_for(pack, video, rendered):
    images = pack.run("FramesToImages", video=video(), start=0.4, num_frames=3).args[0]
    with av.open(str(rendered.path)) as container:
        # BT.709 is stated: PyAV before 17 takes everything for BT.601.
        decoded = [
            frame.reformat(format="rgb24", src_colorspace=1, dst_colorspace=5).to_ndarray()
            for frame in container.decode(video=0)
        ]
    wanted = torch.stack([torch.from_numpy(each) for each in decoded[10:13]]) / 255
    others = torch.stack([torch.from_numpy(each) for each in decoded[11:14]]) / 255
    assert (images - wanted).abs().mean() < (images - others).abs().mean()
    assert (images - wanted).abs().max() <= 4 / 255


def test_zero_frames_is_up_to_the_end(pack, video):
    images, audio, _ = pack.run("FramesToImages", video=video(), start=1.0, num_frames=0).args
    assert len(images) == 13
    assert audio["waveform"].shape[-1] == round(13 / 25 * 44_100)


def test_a_trimmed_video_is_read_inside_its_trim(pack, video):
    trimmed = video(start_time=0.4, duration=0.4)
    whole = pack.run("FramesToImages", video=video(), start=0.6, num_frames=5).args[0]
    found = pack.run("FramesToImages", video=trimmed, start=0.2, num_frames=0).args[0]
    assert torch.equal(found, whole)


def test_audio_and_images_go_back_into_the_graph(pack, video):
    """What comes out is what other nodes take: it can be spoken and animated again."""
    images, audio, _ = pack.run("FramesToImages", video=video(), num_frames=5).args
    assert pack.run("AudioEncode", audio=audio).args[0].audio.num_samples == 8_820
    assert pack.reference(images[:1]).image.size == (32, 32)


def test_reading_frames_renders_nothing_again(pack, video, monkeypatch):
    load = pack["flashtalk_core.weights.load"].AvatarCheckpoint
    monkeypatch.setattr(load, "load", lambda *_: pytest.fail("a network was read"))
    pack.run("FramesToImages", video=video())


def test_the_limit_explains_itself_before_anything_is_read(pack, video, monkeypatch):
    monkeypatch.setattr(
        pack["nodes.graph.video_part"], "read_frames_at", lambda *_: pytest.fail("frames were read")
    )
    node = pack.nodes["FlashTalk_FramesToImages"]
    with pytest.raises(ValueError, match="limit_gb") as caught:
        node.execute(video(), 0.0, 30, 0.0001)
    assert str(caught.value) == refused(
        "'num_frames': frames 30: as images of 32x32, with their audio, they take 0.0 GB of "
        "memory, the limit is 0.0001 GB; read at most 3 frames, or raise limit_gb"
    )


@pytest.mark.parametrize(
    ("start", "trim", "says"),
    [
        (1.52, {}, "start 1.52 s: the video lasts 1.52 s only; begin earlier"),
        (9.0, {}, "start 9 s: the video lasts 1.52 s only; begin earlier"),
        (
            0.4,
            {"start_time": 0.4, "duration": 0.4},
            "start 0.4 s: the video lasts 0.40 s only; begin earlier",
        ),
    ],
)
def test_a_start_behind_the_end_is_refused(pack, video, start, trim, says):
    message = pack.error("FramesToImages", video=video(**trim), start=start)
    assert message == refused(f"'start': {says}")


@pytest.mark.parametrize(
    ("start", "count", "says"),
    [
        (-1.0, 5, "'start': start -1.0 s: use 0 or a later second"),
        (float("nan"), 5, "'start': start nan s: use 0 or a later second"),
        (0.0, -1, "'num_frames': frames -1: use 0 for all up to the end, or more"),
    ],
)
def test_numbers_from_other_nodes_are_checked_too(pack, video, start, count, says):
    node = pack.nodes["FlashTalk_FramesToImages"]
    with pytest.raises(ValueError, match="use 0") as caught:
        node.execute(video(), start, count, 8.0)
    assert str(caught.value) == refused(says)


def test_all_of_it_is_read_unless_a_number_is_given(pack, video):
    images, audio, _ = pack.run("FramesToImages", video=video()).args
    assert len(images) == 38
    assert audio["waveform"].shape[-1] == round(38 / 25 * 44_100)


@pytest.fixture
def whole(pack, video):
    """All frames of the rendered video as ComfyUI itself decodes them."""
    return video().get_components().images


def test_a_crop_that_is_not_in_the_file_is_honoured(pack, video, whole):
    cropped = video(crop=(8, 4, 16, 24))
    images = pack.run("FramesToImages", video=cropped, start=0.4, num_frames=3).args[0]
    assert torch.equal(images, whole[10:13, 4:28, 8:24])


def test_edited_frames_of_a_trim_without_any_are_refused(pack, video, monkeypatch):
    cropped = video(crop=(0, 0, 16, 16))
    components = cropped.get_components()
    empty = SimpleNamespace(images=components.images[:0], audio=None, frame_rate=Fraction(25))
    monkeypatch.setattr(type(cropped), "get_components", lambda _video: empty)
    monkeypatch.setattr(pack["nodes.graph.video_part"]._File, "kept_frames", lambda _file: [])
    with pytest.raises(Exception, match=r"the video lasts 0\.00 s only"):
        pack.run("FramesToImages", video=cropped, num_frames=1)


@pytest.mark.parametrize("is_pending", [True, False])
def test_a_video_that_tells_of_edits_is_believed(pack, video, monkeypatch, is_pending):
    cropped = video(crop=(0, 0, 16, 16))
    monkeypatch.setattr(
        type(cropped), "has_pending_frame_edits", lambda _video: is_pending, raising=False
    )
    images = pack.run("FramesToImages", video=cropped, num_frames=1).args[0]
    assert images.shape[1:3] == ((16, 16) if is_pending else (32, 32))


def test_a_trim_of_a_comfyui_that_does_not_tell_it_is_honoured(pack, video, monkeypatch):
    """Before 0.23 a trim was an attribute like any other."""
    base = pack["comfy_api.latest"].Input.Video
    monkeypatch.delattr(base, "get_active_trim_window")
    monkeypatch.delattr(pack["comfy_api.latest"].InputImpl.VideoFromFile, "get_active_trim_window")
    decoded = []
    components = video().get_components
    kind = pack["comfy_api.latest"].InputImpl.VideoFromFile
    monkeypatch.setattr(kind, "get_components", lambda _video: decoded.append(1) or components())
    monkeypatch.setattr(kind, "get_duration", lambda _video: 1.52)
    pack.run("FramesToImages", video=video(start_time=0.4, duration=0.4), num_frames=1)
    assert decoded  # ComfyUI applies it
    decoded.clear()
    assert len(pack.run("FramesToImages", video=video()).args[0]) == 38
    assert not decoded


@pytest.mark.parametrize("has_audio", [True, False])
def test_a_part_of_a_video_in_memory_is_taken(pack, make, whole, has_audio):
    api = pack["comfy_api.latest"]
    whole_audio = make.audio(1.52, 44_100, 2) if has_audio else None
    components = api.Types.VideoComponents(whole, whole_audio, Fraction(25))
    video = api.InputImpl.VideoFromComponents(components)
    images, audio, fps = pack.run("FramesToImages", video=video, start=0.4, num_frames=10).args
    assert torch.equal(images, whole[10:20])
    assert fps == 25.0
    if has_audio:
        assert torch.equal(audio["waveform"], whole_audio["waveform"][..., 17_640:35_280])
        assert audio["sample_rate"] == 44_100
    else:
        assert audio is None


def test_a_video_in_memory_that_takes_too_much_is_refused_before_it_is_decoded(pack, video):
    node = pack.nodes["FlashTalk_FramesToImages"]
    cropped = video(crop=(0, 0, 16, 16))
    with pytest.raises(ValueError, match="raise limit_gb") as caught:
        node.execute(cropped, 0.0, 1, 0.0001)
    says = "'video': video that no file holds as it is: all its 38 frames of 16x16 take 0.0 GB"
    assert str(caught.value).startswith(refused(says))


def test_a_video_in_memory_that_is_none_is_refused(pack):
    video = pack["comfy_api.latest"].InputImpl.VideoFromFile(io.BytesIO(b"no video"))
    message = pack.error("FramesToImages", video=video)
    assert message.startswith(refused("'video': video: ComfyUI cannot decode it ("))


@pytest.mark.parametrize("exists", [True, False])
def test_a_file_that_is_no_video_is_refused(pack, tmp_path, exists):
    path = tmp_path / "clip.mp4"
    if exists:
        path.write_text("not a video")
    video = pack["comfy_api.latest"].InputImpl.VideoFromFile(str(path))
    assert pack.error("FramesToImages", video=video).startswith(refused(f"'video': video {path}: "))
