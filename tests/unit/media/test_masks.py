"""Masks of two speakers: halves, boxes and images, and what they may not be."""

import numpy as np
import pytest
import torch
from PIL import Image

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.masks import check_apart, face_places, fit_masks, read_mask
from flashtalk_core.media.places import is_place

pytestmark = pytest.mark.cpu

PORTRAIT = Image.new("RGB", (80, 40))


def box(place):
    return read_mask(place, PORTRAIT, "speaker 1").getbbox()


def test_halves_leave_a_margin_to_the_background_and_boxes_are_as_given():
    assert (box("left"), box("right")) == ((2, 2, 38, 38), (42, 2, 78, 38))
    assert box("10,0,70,40") == (10, 0, 80, 40)
    assert is_place("1, 2,3,4")
    assert not is_place("masks/left.png")


@pytest.mark.parametrize("fit", ["cover", "pad"])
def test_each_pixel_of_the_video_is_one_class(fit):
    masks = [read_mask(place, PORTRAIT, "") for place in ("0,0,40,40", "40,0,40,40")]
    found = fit_masks(masks, (48, 48), fit)
    assert torch.equal(found.sum(dim=0), torch.ones(48, 48))
    assert found[0, 24, 8] == 1 == found[1, 24, 40]
    assert bool(found[2].any()) == (fit == "pad")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("70,0,20,10", r"box 70,0,20,10: it has to be within the 80x40 pixels"),
        ("0,0,0,10", "with 1 or more of each"),
        ("small.png", r"64x64 pixels, the portrait has 80x40; draw it on the portrait"),
        ("black.png", r"0 of 3200 pixels are white; paint where"),
        ("none.png", r"^speaker 2's mask 'none.png': no such file; use left, right, face, a box"),
        ("0,0,10", "^speaker 2's mask '0,0,10': no such file; use left"),
        ("-1,0,20,20", "box -1,0,20,20: it has to be within the 80x40 pixels"),
        (".", r"^image \.: this is a folder"),
    ],
)
def test_masks_that_cannot_be_used(place, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (64, 64), 255).save("small.png")
    Image.new("L", (80, 40), 100).save("black.png")
    with pytest.raises(InvalidInputError, match=message):
        read_mask(place, PORTRAIT, "speaker 2")


@pytest.mark.parametrize("colour", [0, 255])
@pytest.mark.parametrize("kind", ["rgba.png", "grey.png", "palette.png", "palette.gif"])
def test_a_mask_on_transparency_is_where_it_is_painted(tmp_path, kind, colour):
    alpha = np.zeros((40, 80), np.uint8)
    alpha[5:20, 10:30] = 255
    grey = np.full_like(alpha, colour)
    if kind.startswith("palette"):
        image = Image.fromarray(alpha // 255).convert("P")
        image.putpalette([9, 9, 9, colour, colour, colour])
        image.save(tmp_path / kind, transparency=0)
    else:
        planes = [grey] * (3 if kind == "rgba.png" else 1)
        Image.fromarray(np.dstack([*planes, alpha])).save(tmp_path / kind)
    assert box(str(tmp_path / kind)) == (10, 5, 30, 20)


def test_an_opaque_mask_with_an_alpha_channel_is_read_by_its_brightness(tmp_path):
    pixels = np.full((40, 80, 4), 255, np.uint8)
    pixels[:, 30:, :3] = 0
    Image.fromarray(pixels).save(tmp_path / "m.png")
    assert box(str(tmp_path / "m.png")) == (0, 0, 30, 40)


def test_found_faces_get_room_and_keep_apart():
    places = face_places([(10, 10, 16, 16), (40, 12, 16, 20)], PORTRAIT.size)
    assert places == ("2,2,31,32", "33,2,33,38")
    check_apart([read_mask(each, PORTRAIT, "") for each in places])
    with pytest.raises(InvalidInputError, match=r"'face': 1 face\(s\) were found, and two speak"):
        face_places([(10, 10, 16, 16)], PORTRAIT.size)


def test_masks_do_not_overlap(tmp_path):
    white = np.zeros((40, 80), np.uint8)
    white[:, 30:] = 255
    Image.fromarray(white).save(tmp_path / "right.png")
    masks = [read_mask(each, PORTRAIT, "") for each in ("left", str(tmp_path / "right.png"))]
    with pytest.raises(InvalidInputError, match=r"overlap in 288 of 3200 pixels.+draw them apart"):
        check_apart(masks)
