"""From a plan to a file."""

import av
import pytest

from flashtalk_core.config import ChunkConfig
from flashtalk_core.engine.render import describe, open_writer, render_video
from flashtalk_core.errors import InvalidInputError, OutputError
from flashtalk_core.media.video.reading.measure import measure_video

pytestmark = pytest.mark.cpu

CHUNK = ChunkConfig(num_frames=9, num_motion_frames=5)


@pytest.fixture
def plan(make_plan):
    return make_plan(chunk=CHUNK, steps=2, seconds=0.4)  # 10 frames in 3 chunks


def test_the_video_is_as_long_as_the_sound(plan, networks, tmp_path):
    render_video(plan, open_writer(plan, tmp_path / "a.mp4", crf=30), networks)
    measured = measure_video(tmp_path / "a.mp4")
    assert (measured.num_frames, measured.is_exact, measured.num_samples) == (10, True, 6_400)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_the_file_says_that_it_is_generated_and_how(plan, networks, tmp_path):
    metadata = {"comment": describe(plan), "prompt": "{}"}
    writer = open_writer(plan, tmp_path / "a.mp4", crf=30, metadata=metadata)
    render_video(plan, writer, networks)
    with av.open(str(tmp_path / "a.mp4")) as container:
        found = container.metadata
    assert found["comment"] == describe(plan)
    assert found["prompt"] == "{}"
    assert describe(plan) == "generated with FlashTalk-tiny, 2 euler steps, shift 5, seed 9999"


def test_everything_is_told_in_order(plan, networks, tmp_path):
    told = []
    render_video(
        plan,
        open_writer(plan, tmp_path / "a.mp4", crf=30),
        networks,
        before_step=lambda step: told.append(f"step {step}"),
        on_ready=lambda: told.append("ready"),
        on_frames=lambda frames: told.append(tuple(frames.shape)),
    )
    chunk = ["step 0", "step 1", (4, 32, 32, 3)]
    assert told == ["ready", *chunk, *chunk, "step 0", "step 1", (2, 32, 32, 3)]


def test_a_stop_leaves_what_was_rendered(plan, networks, tmp_path):
    frames = []

    def stop(_step):
        if frames:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        render_video(
            plan,
            open_writer(plan, tmp_path / "a.mp4", crf=30),
            networks,
            before_step=stop,
            on_frames=frames.append,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["a.partial.mp4"]
    assert measure_video(tmp_path / "a.partial.mp4").num_frames == 4
    assert any(str(tmp_path / "a.partial.mp4") in note for note in caught.value.__notes__)


def test_a_file_that_cannot_be_written_is_told_before_anything_is_read(plan, tmp_path):
    with pytest.raises(OutputError, match="create it first"):
        open_writer(plan, tmp_path / "missing" / "a.mp4", crf=30)
    with pytest.raises(InvalidInputError, match="quality crf 52"):
        open_writer(plan, tmp_path / "a.mp4", crf=52)
