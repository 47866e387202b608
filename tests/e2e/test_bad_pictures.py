"""Unusual and damaged images: unusual ones are shown, damaged ones are reported in one line."""

import av
import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.e2e

RED, BLUE = (200, 30, 30), (30, 30, 200)


def halves(width=48, height=48):
    """Red above, blue below."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2], pixels[height // 2 :] = RED, BLUE
    return Image.fromarray(pixels)


def save(image, path, **options):
    image.save(path, **options)
    return path


def grey(path):
    return save(halves().convert("L"), path)


def transparent(path):
    image = halves().convert("RGBA")
    image.putalpha(128)
    return save(image, path)


def sixteen_bit(path):
    return save(Image.fromarray(np.full((48, 48), 40_000, np.uint16)), path)


def palette(path):
    return save(halves().convert("P"), path)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (grey, "grey.png"),
        (transparent, "clear.png"),
        (sixteen_bit, "deep.png"),
        (palette, "few.png"),
        (lambda path: save(halves().convert("CMYK"), path), "print.jpg"),
        (lambda path: save(halves(), path), "plain.webp"),
    ],
)
def test_unusual_images_are_rendered(render, tmp_path, older, make, name):
    done = render("--duration", 0.04, image=make(tmp_path / name))
    assert done.code == 0, done.lines
    assert older.read_bytes() != b"older"


def test_of_an_animation_the_first_frame_is_taken_and_said(render, tmp_path):
    first, second = halves().convert("P"), Image.new("P", (48, 48), 3)
    path = save(first, tmp_path / "a.gif", save_all=True, append_images=[second])
    done = render("--duration", 0.04, image=path)
    assert done.code == 0
    assert f"warning: image {path}: an animation; its first frame is used" in done.lines


def test_a_phones_image_is_shown_upright(render, tmp_path, older):
    """The same image lying on its side, with the note that it is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = save(halves(), tmp_path / "up.png")
    lying = save(halves().transpose(Image.Transpose.ROTATE_90), tmp_path / "lying.png", exif=exif)
    videos = []
    for image in (upright, lying, save(halves().rotate(90), tmp_path / "side.png")):
        assert render("--duration", 0.04, image=image).code == 0
        with av.open(str(older)) as container:
            videos.append(next(container.decode(video=0)).to_ndarray(format="rgb24"))
    assert np.array_equal(videos[0], videos[1])
    assert not np.array_equal(videos[0], videos[2])


def missing(path):
    return path


def empty(path):
    path.touch()
    return path


def folder(path):
    path.mkdir()
    return path


def text(path):
    path.write_text("not a picture")
    return path


def truncated(path):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    save(Image.fromarray(noise), path)
    path.write_bytes(path.read_bytes()[:50_000])
    return path


def blank(path, width, height):
    return save(Image.new("RGB", (width, height)), path)


@pytest.mark.parametrize(
    ("make", "value", "remedy"),
    [
        (missing, "no such file", "check the path"),
        (empty, "0 bytes", "copy it again"),
        (folder, "this is a folder", "name a file in it"),
        (text, "13 bytes are no image", "use PNG or JPEG"),
        (truncated, "cannot be read", "export it again"),
        (lambda path: blank(path, 1, 1), "1x1 pixels; need at least 16x16", "better 256"),
        (lambda path: blank(path, 400, 16), "400x16", "crop it"),
    ],
)
def test_unusable_images_are_refused(refused, tmp_path, make, value, remedy):
    path = make(tmp_path / "bad.png")
    line = refused(image=path)
    assert str(path) in line
    assert value in line
    assert remedy in line
