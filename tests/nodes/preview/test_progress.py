"""Progress while a video is rendered, and stopping it."""

import io
from itertools import pairwise

import pytest

from flashtalk_core.media.video.reading.measure import measure_video

pytestmark = pytest.mark.cpu


@pytest.fixture
def stop_after(pack, monkeypatch):
    """Press the stop button after some updates of the bar."""
    bar = pack["comfy.utils"].ProgressBar
    update = bar.update_absolute

    def arrange(count):
        def counted(self, *args, **kwargs):
            update(self, *args, **kwargs)
            if len(pack["comfy.utils"].updates) == count:
                pack["comfy.model_management"].interrupt_current_processing()

        monkeypatch.setattr(bar, "update_absolute", counted)

    return arrange


def test_the_bar_moves_with_every_step_and_group_and_ends_full(rendered):
    values = [value for value, *_ in rendered.updates]
    (total,) = {total for _, total, *_ in rendered.updates}
    assert values == sorted(values)
    assert values[-1] == total
    # 38 frames are 4 chunks of 12: 2 steps and 2 groups of frames each, the last cut to 2 frames.
    # The last update is sent again, after the image was removed.
    assert len(values) == 3 * 4 + 3 + 1
    # A chunk that is cut short counts as whole, which makes the last step the longest.
    assert max(later - value for value, later in pairwise(values)) < 0.7 * total / 4
    assert {node_id for *_, node_id in rendered.updates} == {"7"}


def test_every_chunk_shows_its_last_frame(rendered):
    previews = [preview for _, _, preview, _ in rendered.updates if preview is not None]
    assert len(previews) == 4
    for kind, image, limit_px in previews:
        assert (kind, image.size) == ("JPEG", (32, 32))
        assert limit_px >= 256
        image.save(io.BytesIO(), kind)


def test_no_text_is_sent_that_the_page_would_put_below_the_player(rendered):
    assert rendered.texts == []


def test_stopping_while_weights_are_read_takes_one_tensor(pack, monkeypatch):
    model, reader = pack.run("ModelLoader").args[0], pack["flashtalk_core.weights.plan"]
    read, count = reader._assign_packed, 0

    def stop(*args):
        nonlocal count
        count += 1
        pack["comfy.model_management"].interrupt_current_processing()
        return read(*args)

    monkeypatch.setattr(reader, "_assign_packed", stop)
    with pytest.raises(pack["comfy.model_management"].InterruptProcessingException):
        pack.preview(pack.frames(model))
    assert count == 1


def test_the_last_image_makes_room_for_the_video(rendered):
    assert rendered.events == [("progress_state", {"prompt_id": "prompt", "nodes": {}})]


def test_without_an_image_nothing_waits_for_it_to_go(pack, model, monkeypatch):
    server = pack["server"].PromptServer.instance
    monkeypatch.setattr(pack["nodes.preview.live_preview"].LivePreview, "is_watched", True)
    pack.preview(pack.frames(model), hidden={"unique_id": "5"})
    assert server.events == []


def test_a_prompt_that_no_client_queued_hides_no_images(pack, model, monkeypatch):
    server = pack["server"].PromptServer.instance
    monkeypatch.setattr(server, "client_id", None)
    pack.preview(pack.frames(model), hidden={"unique_id": "5"})
    assert any(image for _, _, image, _ in pack["comfy.utils"].updates)
    assert server.events == []


@pytest.mark.parametrize(
    ("count", "num_frames"),
    [(1, 0), (2, 0), (8, 4), (12, 8)],  # within chunks: 5 steps and 1 group of 4 frames
)
def test_stop_works_within_a_step_and_leaves_what_was_rendered(
    pack, model, stop_after, count, num_frames, tmp_path
):
    frames = pack.frames(model, pack.speech(0.48), steps=5)
    stop_after(count)
    with pytest.raises(pack["comfy.model_management"].InterruptProcessingException):
        pack.preview(frames, hidden={"unique_id": "5"})
    # One update for each step and each group: the bar stands where the button was pressed.
    assert len(pack["comfy.utils"].updates) == count
    left = list((tmp_path / "output").glob("clip*.mp4"))
    if not num_frames:
        assert left == []
        return
    (partial,) = left
    assert partial.name.endswith(".partial.mp4")
    assert measure_video(partial).num_frames == num_frames
    _, message, _ = pack["server"].PromptServer.instance.messages[-1]
    assert any(str(partial) in note for note in message["notes"])


def test_after_a_stop_the_next_prompt_renders_whole(pack, model, stop_after):
    frames = pack.frames(model)
    stop_after(1)
    with pytest.raises(pack["comfy.model_management"].InterruptProcessingException):
        pack.preview(frames)
    assert measure_video(pack.preview(frames)).num_frames == 8


def test_a_server_without_a_page_renders_too(pack, model, monkeypatch):
    monkeypatch.setattr(pack["server"].PromptServer, "instance", None)
    assert pack.preview(pack.frames(model), hidden={"unique_id": "5"}).is_file()


@pytest.mark.parametrize("name", ["__init__", "update_absolute"])
def test_a_bar_that_fails_ends_no_render_and_is_reported_once(
    pack, model, monkeypatch, caplog, name
):
    def fail(*_args, **_settings):
        raise RuntimeError("the page is gone")

    monkeypatch.setattr(pack["comfy.utils"].ProgressBar, name, fail)
    assert pack.preview(pack.frames(model, seed=21), hidden={"unique_id": "5"}).is_file()
    logged = [line for line in caplog.messages if "the page does not see the progress" in line]
    assert logged == ["the page does not see the progress: the page is gone"]


def test_a_page_that_cannot_be_sent_the_end_does_not_undo_the_render(pack, model, monkeypatch):
    monkeypatch.setattr(pack["comfy_execution.progress"], "get_progress_state", lambda: None)
    assert pack.preview(pack.frames(model, seed=22), hidden={"unique_id": "5"}).is_file()


def test_a_bar_may_still_stop_the_render(pack, model, monkeypatch):
    """ComfyUI asks for it there."""
    stopped = pack["comfy.model_management"].InterruptProcessingException

    def stop(*_args, **_settings):
        raise stopped

    monkeypatch.setattr(pack["comfy.utils"].ProgressBar, "update_absolute", stop)
    with pytest.raises(stopped):
        pack.preview(pack.frames(model, seed=23))
