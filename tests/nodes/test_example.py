"""The bundled portrait and speech, as native nodes would hand them over."""

import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.cpu

FILES = Path(__file__).parents[2] / "flashtalk_core" / "assets" / "example"


def test_the_example_is_that_of_the_command_line(pack):
    image, audio, two = pack.run("Example").args
    expected = np.asarray(Image.open(FILES / "portrait.png"), np.float32) / 255
    assert image.shape == (1, *expected.shape)
    assert np.array_equal(image[0].numpy(), expected)
    assert np.array_equal(two[0].numpy(), np.concatenate([expected, expected[:, ::-1]], axis=1))
    with wave.open(str(FILES / "speech.wav")) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        assert audio["sample_rate"] == file.getframerate()
    assert audio["waveform"].shape == (1, 1, len(samples))
    assert np.allclose(audio["waveform"][0, 0].numpy(), samples / 32768, atol=1e-7)


def test_the_node_shows_the_portrait(pack):
    assert pack.run("Example").ui.as_dict()["images"][0]["type"] == "temp"


def test_the_portrait_arrives_unchanged_at_the_reference(pack):
    image, audio, _ = pack.run("Example").args
    described = pack.run("Reference", image=image).args[0]
    assert described.image.tobytes() == Image.open(FILES / "portrait.png").tobytes()
    speech = pack.run("AudioEncode", audio=audio).args[0]
    assert "14.2" in str(speech)
