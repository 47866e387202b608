"""How much of a render is lost with the process: README's "last half second"."""

import random
import subprocess
import sys
import time

import pytest
import soundfile

from flashtalk_core.media.isobmff.defragment import count_fragmented_frames

pytestmark = pytest.mark.manual

NUM_KILLS = 6
CHILD = """
import sys, time
import numpy as np
from flashtalk_core.media.video.writer import Mp4Writer
from flashtalk_core.media.audio.probe import probe_audio

rng = np.random.default_rng(0)
pictures = rng.integers(0, 255, (28, 64, 64, 3), dtype=np.uint8)
with Mp4Writer(sys.argv[2], (64, 64), probe_audio(sys.argv[1])) as writer:
    while True:
        for picture in pictures:
            writer.write(picture[None])
            print(writer.num_written, flush=True)
            time.sleep(0.002)
"""


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000])
def test_a_killed_render_loses_half_a_second_at_most(make, tmp_path, rate_hz):
    soundfile.write(tmp_path / "s.wav", make.voice(60 * rate_hz, rate_hz), rate_hz)
    chance = random.Random(rate_hz)
    lost = []
    for number in range(NUM_KILLS):
        output = tmp_path / f"{number}.mp4"
        command = [sys.executable, "-c", CHILD, str(tmp_path / "s.wav"), str(output)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert child.stdout.readline() == "1\n"
            time.sleep(chance.uniform(0.3, 1.3))
        finally:
            child.kill()
            written = 1 + child.communicate()[0].count("\n")
        lost.append(written - count_fragmented_frames(output.with_suffix(".partial.mp4")))
    sys.stdout.write(f"\n{rate_hz} Hz: frames lost by {NUM_KILLS} kills: {sorted(lost)}")
    assert max(lost) <= 12
