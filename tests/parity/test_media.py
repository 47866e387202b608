import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from flashtalk_core.media.audio.loudness import LoudnessMeter, loudness_gain
from flashtalk_core.media.audio.windows import window_features
from flashtalk_core.media.image.colour import ColourReference, match_colours
from flashtalk_core.media.image.portrait import fit_image

pytestmark = pytest.mark.cpu

BOUND = 2e-5


@pytest.fixture
def golden(request):
    folder = request.config.rootpath / "tests" / "golden"
    return lambda name: load_file(folder / f"{name}.safetensors")


def error_in_std(result, expected):
    return float((result.double() - expected.double()).abs().max() / expected.double().std())


def test_image_fit_is_exact(golden):
    tensors = golden("image")
    expected = tensors["out.resized_cropped"][0, :, 0]
    fitted = fit_image(Image.fromarray(tensors["in.rgb"].numpy()), tuple(expected.shape[1:]))
    assert torch.equal(fitted, expected)


@pytest.mark.parametrize("name", ["out.strength1", "out.strength0.4"])
def test_colour_match(golden, name):
    tensors = golden("colour")
    reference = ColourReference.from_image(tensors["in.reference"][0, :, 0])
    strength = float(name.removeprefix("out.strength"))
    matched = match_colours(tensors["in.video"][0], reference, strength)
    assert error_in_std(matched, tensors[name][0]) < BOUND


def test_loudness_normalisation(golden):
    tensors = golden("wav2vec2")
    speech = tensors["in.speech8s"]
    meter = LoudnessMeter(16_000)
    for block in speech.split(7001):
        meter.update(block.numpy())
    normalised = speech.double() * loudness_gain(meter.integrated_lufs())
    assert error_in_std(normalised, tensors["out.loudness_normalised"]) < BOUND


def test_stream_windows_are_exact(golden):
    tensors = golden("wav2vec2")
    features, expected = tensors["out.embedding8s"], tensors["out.window_stream"][0]
    stop = features.shape[0]
    windows = window_features(features, stop - expected.shape[0], stop)
    assert torch.equal(windows, expected)


def test_whole_file_windows_are_exact(golden):
    tensors = golden("wav2vec2")
    features = tensors["out.embedding3s"]
    windows = window_features(features, 0, features.shape[0])
    assert torch.equal(windows, tensors["out.window_once"][0])
