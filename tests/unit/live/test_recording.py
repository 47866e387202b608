"""A file of what was shown."""

import av
import numpy as np
import pytest
import torch

from flashtalk_core.live.audio.framer import AudioFormat
from flashtalk_core.live.recording import Recording
from flashtalk_core.live.shown import Shown

pytestmark = pytest.mark.cpu


def shown(frame, rate_hz, loud):
    picture = torch.full((32, 32, 3), 5 * (frame % 40) + 20, dtype=torch.uint8)
    sound = np.full((1, rate_hz // 25), 0.5 if loud else 0.0, np.float32)
    return Shown(frame, picture, sound, None, is_held=False)


@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_frames_and_sound_are_in_it_as_they_left(tmp_path, rate_hz):
    path = tmp_path / "live.mp4"
    with Recording(path, (32, 32), AudioFormat(rate_hz, 1), "generated") as recording:
        for frame in range(60):
            recording.show(shown(frame, rate_hz, frame >= 30), frame / 25)
    with av.open(str(path)) as container:
        grey = [int(frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        parts = [frame.to_ndarray() for frame in container.decode(audio=0)]
        assert container.metadata["comment"] == "generated"
    assert len(grey) == 60
    assert sorted(range(40), key=lambda i: grey[i]) == list(range(40))
    sound = np.abs(np.concatenate(parts, axis=1)[0])
    first_loud = np.argmax(sound > 0.25) / rate_hz
    assert abs(first_loud - 30 / 25) < 0.01


def test_what_fails_leaves_the_part_that_was_shown(tmp_path):
    path = tmp_path / "live.mp4"

    def record():
        with Recording(path, (32, 32), AudioFormat(16_000, 1)) as recording:
            for frame in range(60):
                recording.show(shown(frame, 16_000, loud=True), frame / 25)
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        record()
    assert not path.exists()
    with av.open(str(tmp_path / "live.partial.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) > 20


def test_a_session_of_no_frames_leaves_no_file(tmp_path):
    with Recording(tmp_path / "live.mp4", (32, 32), AudioFormat(16_000, 1)):
        pass
    assert list(tmp_path.iterdir()) == []
