"""What a render of a row tells those who watch it."""

import wave

import pytest
from PIL import Image

from flashtalk_core.batch.renderer import RowRenderer
from flashtalk_core.batch.rows import BatchRow
from flashtalk_core.engine.spec import RenderSpec, SamplingSpec, Speaker
from flashtalk_core.media.video.encoder import VideoEncoder
from flashtalk_core.media.video.finishing import FinishedFile
from flashtalk_core.sampling import step

pytestmark = pytest.mark.cpu


class Events:
    is_working = False

    def __init__(self):
        self.num_frames, self.at_frames = 0, []

    def resumed(self, count):
        self.num_frames += count

    def frames(self, count):
        self.num_frames += count

    def working(self, is_working):
        self.is_working = is_working


@pytest.fixture
def row(tmp_path):
    """A video of two chunks."""
    image, audio = tmp_path / "me.png", tmp_path / "a.wav"
    Image.new("RGB", (40, 48), "red").save(image)
    with wave.open(str(audio), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes([1, 2]) * 25_600)
    spec = RenderSpec(
        portrait=str(image),
        speakers=(Speaker(audio=str(audio)),),
        size_px=(32, 32),
        sampling=SamplingSpec(steps=1, rule="euler"),
    )
    output = tmp_path / "a.mp4"
    return BatchRow(number="1", image=image, audio=audio, output=output, spec=spec, crf=18)


def test_networks_are_told_from_files_that_are_written(row, monkeypatch):
    events, seen = Events(), {}
    watched = ((FinishedFile, "make"), (VideoEncoder, "open"), (VideoEncoder, "write"))
    for owner, name in watched:
        act = getattr(owner, name)

        def look(*args, name=name, act=act, **kwargs):
            seen.setdefault(name, []).append(events.is_working)
            return act(*args, **kwargs)

        monkeypatch.setattr(owner, name, look)
    renderer = RowRenderer(lambda spec: spec, lambda place: None)
    assert renderer.render(row, events) == events.num_frames == 40
    assert set(seen) == {"make", "open", "write"}
    assert not any(any(each) for each in seen.values())


def test_networks_are_at_work_at_each_step(row, monkeypatch):
    events, seen, euler_step = Events(), [], step.euler_step

    def look(*args, **kwargs):
        seen.append(events.is_working)
        return euler_step(*args, **kwargs)

    monkeypatch.setattr(step, "euler_step", look)
    RowRenderer(lambda spec: spec, lambda place: None).render(row, events)
    assert seen == [True, True]
