"""First frames of animations, and frames that cover a part of their canvas."""

import logging

import pytest
from PIL import Image

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.image.portrait import open_image

from .image_files import apng, encoded, gif_in_part

pytestmark = pytest.mark.cpu

RED, GREEN, BLUE = (Image.new("RGB", (64, 64), colour) for colour in ("red", "lime", "blue"))
GREY = (128, 128, 128)


@pytest.fixture
def opened(tmp_path):
    def opened(data):
        (tmp_path / "picture").write_bytes(data)
        return open_image(tmp_path / "picture")

    return opened


def test_a_default_image_that_belongs_to_the_animation_is_its_first_frame(opened, caplog):
    with caplog.at_level(logging.WARNING):
        found = opened(apng((64, 64), [(RED, 0, 0), (BLUE, 0, 0)]))
    assert found.getpixel((9, 9)) == (255, 0, 0)
    assert "first frame" in caplog.text


@pytest.mark.parametrize("frames", [[(GREEN, 0, 0)], [(GREEN, 0, 0), (BLUE, 0, 0)]])
def test_a_default_image_for_old_viewers_is_not_shown(opened, frames):
    assert opened(apng((64, 64), frames, default=RED)).getpixel((9, 9)) == (0, 255, 0)


def test_what_the_first_frame_does_not_cover_is_transparent(opened):
    frame = (GREEN.crop((0, 0, 20, 30)), 8, 4)
    found = opened(apng((64, 64), [frame, (BLUE, 0, 0)], default=RED))
    assert found.size == (64, 64)
    shown = [found.getpixel(point) for point in ((7, 4), (8, 4), (27, 33), (28, 33))]
    assert shown == [GREY, (0, 255, 0), (0, 255, 0), GREY]


@pytest.mark.parametrize("side", [12_000, 65_000, 2_000_000])
def test_a_canvas_too_large_is_refused_however_small_its_first_frame(opened, side):
    frame = (GREEN.crop((0, 0, 20, 30)), 8, 4)
    with pytest.raises(InvalidInputError, match=f"{side}x{side} is more than the .* million"):
        opened(apng((side, side), [frame, frame], default=RED))


@pytest.mark.parametrize(
    ("canvas", "place", "size"),
    [((64, 64), (8, 4), (64, 64)), ((64, 64), (60, 50), (80, 80)), ((16, 16), (0, 0), (20, 30))],
)
def test_a_gif_whose_frame_covers_a_part(opened, canvas, place, size):
    found = opened(gif_in_part(GREEN.crop((0, 0, 20, 30)), canvas, place))
    assert found.size == size
    inside = place[0] + 1, place[1] + 1
    assert found.getpixel(inside) == (0, 255, 0)
    if place != (0, 0):
        assert found.getpixel((0, 0)) == GREY


def test_a_second_frame_that_is_damaged_does_not_matter(opened):
    data = encoded(RED, "GIF", save_all=True, append_images=[BLUE, GREEN])
    assert opened(data[: len(data) - 20]).getpixel((9, 9)) == (255, 0, 0)


def test_an_animation_that_says_more_than_it_has(opened):
    data = apng((64, 64), [(RED, 0, 0), (BLUE, 0, 0)])
    assert opened(data[: data.rindex(b"fcTL")]).getpixel((9, 9)) == (255, 0, 0)
