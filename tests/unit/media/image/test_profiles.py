"""Images in the colours that a browser shows."""

import logging
import sys

import numpy as np
import pytest
from PIL import Image

from flashtalk_core.media.image.portrait import open_image

from .colour_cases import SHOWN, make_avif_cases, make_cases
from .image_files import (
    cmyk_profile,
    encoded,
    flat_png,
    gama,
    grey_profile,
    icc_segment,
    looks,
    p3_profile,
    patches,
    with_segments,
    writes_avif,
)

pytestmark = pytest.mark.cpu

CLOSE = 3
"""Levels that a browser may be away."""
CASES = make_cases()
AVIF_CASES = [name for name in SHOWN if name.endswith(".avif")]


@pytest.fixture
def opened(tmp_path):
    def opened(data, name="picture.png"):
        (tmp_path / name).write_bytes(data)
        return open_image(tmp_path / name)

    return opened


def shown_in_chromium(name):
    return [tuple(bytes.fromhex(colour)) for colour in SHOWN[name].split()]


def apart(first, second):
    return np.abs(np.array(first, int) - np.array(second, int)).max()


@pytest.mark.parametrize("name", list(CASES))
def test_colours_are_those_of_a_browser(opened, name):
    assert apart(looks(opened(CASES[name], name)), shown_in_chromium(name)) <= CLOSE


@pytest.mark.skipif(not writes_avif(), reason="needs a Pillow that reads AVIF")
@pytest.mark.parametrize("name", AVIF_CASES)
def test_colours_of_avif_files(opened, name):
    assert apart(looks(opened(make_avif_cases()[name], name)), shown_in_chromium(name)) <= CLOSE


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_profile_counts_in_every_format(opened, kind):
    data = encoded(patches(), kind, icc_profile=p3_profile())
    assert apart(looks(opened(data)), shown_in_chromium("iccp.png")) <= CLOSE


def test_a_profile_in_a_bitmap(opened):
    profile = p3_profile()
    pixels = np.asarray(patches())
    rows = pixels[::-1, :, ::-1].tobytes()
    fields = np.zeros(31, "<i4")
    fields[:5] = 124, pixels.shape[1], pixels.shape[0], 1 | 24 << 16, 0
    fields[14:15] = np.frombuffer(b"DEBM", "<i4")
    fields[28:30] = 124 + len(rows), len(profile)
    head = b"BM" + np.array([138 + len(rows) + len(profile), 0, 138], "<i4").tobytes()
    data = head + fields.tobytes() + rows + profile
    assert apart(looks(opened(data)), shown_in_chromium("iccp.png")) <= CLOSE


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks_are_those_of_their_profile(opened, kind):
    """Half a profile's black is not half of no light: its greys are in Lab."""
    image = Image.new("CMYK", (32, 32), (255, 0, 0, 0))
    data = encoded(image, kind, icc_profile=cmyk_profile())
    assert apart(opened(data).getpixel((9, 9)), (185, 185, 185)) <= CLOSE
    assert opened(encoded(image, kind)).getpixel((9, 9))[0] < 10


def test_a_profile_in_pieces(opened):
    data = encoded(patches(), "JPEG", quality=100, subsampling=0)
    profile = p3_profile()
    pieces = [icc_segment(profile[:99], 1, 2), icc_segment(profile[99:], 2, 2)]
    for order in (pieces, pieces[::-1]):
        shown = looks(opened(with_segments(data, *order)))
        assert apart(shown, shown_in_chromium("p3.jpg")) <= CLOSE
    assert apart(looks(opened(with_segments(data, pieces[0]))), looks(patches())) <= CLOSE


@pytest.mark.parametrize(
    "profile",
    [b"no profile at all" * 20, p3_profile()[:200], cmyk_profile(), grey_profile(), bytes(500)],
)
def test_a_profile_that_cannot_be_used_is_reported_once(opened, caplog, profile):
    data = encoded(patches(), "JPEG", quality=100, subsampling=0, icc_profile=profile)
    with caplog.at_level(logging.WARNING):
        assert apart(looks(opened(data)), looks(patches())) <= CLOSE
    assert len(caplog.messages) == 1
    assert "profile is not applied" in caplog.messages[0]


def test_without_littlecms_the_loss_is_reported(opened, caplog, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.ImageCms", None)
    monkeypatch.delattr("PIL.ImageCms", raising=False)
    with caplog.at_level(logging.WARNING):
        shown = looks(opened(encoded(patches(), "PNG", icc_profile=p3_profile())))
    assert shown == looks(patches())
    assert "littlecms" in caplog.text


def test_transparency_survives_the_conversion(opened):
    image = patches().convert("RGBA")
    image.putalpha(0)
    image.paste((228, 170, 138, 255), (0, 0, 16, 16))
    found = opened(encoded(image, "PNG", icc_profile=p3_profile()))
    assert apart(found.getpixel((8, 8)), shown_in_chromium("iccp.png")[3]) <= CLOSE
    assert found.getpixel((40, 8)) == (128, 128, 128)


def test_large_images_are_converted_as_well(opened):
    """They are converted in bands of rows."""
    found = opened(flat_png(3000, 1500, 8, 2, gama(100_000)))
    assert found.getextrema() == ((0, 0),) * 3


def test_transparent_colours_of_deep_images(opened):
    for colour, bits in ((0, b"\0\0"), (2, bytes(6))):
        found = opened(flat_png(32, 32, 16, colour, (b"tRNS", bits)))
        assert found.getpixel((9, 9)) == (128, 128, 128)
