"""Images in the colours that Chromium shows."""

import numpy as np
import pytest

from flashtalk_core.media.image.portrait import open_image
from tests.unit.media.image.colour_cases import make_avif_cases, make_cases
from tests.unit.media.image.image_files import (
    apng,
    encoded,
    gif_in_part,
    noise,
    patches,
    writes_avif,
)

pytestmark = pytest.mark.browser

CLOSE = 3
"""Levels of 255."""


def frames():
    red, green, blue = (patches().point([value] * 768) for value in (40, 120, 200))
    return {
        "hidden.png": apng(red.size, [(green, 0, 0), (blue, 0, 0)], default=red),
        "hidden_part.png": apng(red.size, [(green.crop((0, 0, 50, 9)), 8, 4)], default=red),
        "first.png": apng(red.size, [(red, 0, 0), (blue, 0, 0)]),
        "part.gif": gif_in_part(red.crop((0, 0, 50, 9)), red.size, (8, 4)),
        "beyond.gif": gif_in_part(red.crop((0, 0, 50, 9)), (40, 12), (20, 10)),
        "cut.jpg": encoded(noise(256, 256), "JPEG", progressive=True)[:-2],
    }


def test_images_are_shown_as_in_chromium(browser, tmp_path):
    cases = {**make_cases(), **frames()}
    if writes_avif():
        cases |= make_avif_cases()
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
    shown = browser.play("showPictures", tmp_path)
    assert shown.keys() == cases.keys()
    apart = {name: _apart(tmp_path / name, *shown[name]) for name in cases}
    assert {name: levels for name, levels in apart.items() if levels > CLOSE} == {}


def _apart(path, width, height, pixels):
    """Return by how many levels most pixels are apart at most; a cut end may differ in some."""
    seen = np.array(pixels, np.float64).reshape(height, width, 4)
    alpha = seen[..., 3:] / 255
    expected = seen[..., :3] * alpha + 128 * (1 - alpha)
    opened = np.asarray(open_image(path), np.float64)
    assert opened.shape == expected.shape, path.name
    return float(np.percentile(np.abs(opened - expected), 99))
