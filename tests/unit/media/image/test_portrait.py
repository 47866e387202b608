import logging
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.image.portrait import fit_image, open_image
from flashtalk_core.media.pixels import from_model_range, to_model_range

pytestmark = pytest.mark.cpu


@pytest.fixture
def save(tmp_path):
    def save(image, name="picture.png", **options):
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return save


def gradient(width=40, height=30):
    ramp = np.linspace(0, 255, width * height * 3).reshape(height, width, 3)
    return Image.fromarray(ramp.astype(np.uint8))


def corner(path):
    return open_image(path).getpixel((0, 0))


def complaint(path):
    with pytest.raises(InvalidInputError) as caught:
        open_image(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_colour_image_is_kept(save):
    image = gradient()
    assert np.array_equal(open_image(save(image)), image)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 77, (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
        ("LA", (200, 255), (200, 200, 200)),
        ("LA", (200, 0), (128, 128, 128)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (128, 128, 128)),
    ],
)
def test_modes_become_rgb_over_mid_grey(save, mode, colour, expected):
    assert corner(save(Image.new(mode, (20, 20), colour))) == expected


def test_palette_with_a_transparent_colour(save):
    image = Image.new("P", (20, 20), 1)
    image.putpalette([9, 9, 9, 200, 100, 50])
    assert corner(save(image)) == (200, 100, 50)
    assert corner(save(image, "clear.png", transparency=1)) == (128, 128, 128)


@pytest.mark.parametrize(
    ("dtype", "name"), [(np.uint16, "d.png"), (np.uint16, "d.tiff"), (np.int32, "d.tiff")]
)
def test_deep_grey_is_scaled_not_clipped(save, dtype, name):
    values = np.linspace(0, 65535, 400).reshape(20, 20).astype(dtype)
    opened = np.asarray(open_image(save(Image.fromarray(values), name)))[..., 0]
    assert np.array_equal(opened, np.round(values / 257))


def test_float_grey(save):
    values = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    opened = np.asarray(open_image(save(Image.fromarray(values), "float.tiff")))
    assert (opened[0, 0, 0], opened[-1, -1, 0]) == (0, 255)


@pytest.mark.parametrize("value", [300.0, -1.0, np.nan])
def test_float_grey_out_of_range(save, value):
    values = np.full((20, 20), value, np.float32)
    assert "need 0 to 1" in complaint(save(Image.fromarray(values), "float.tiff"))


def test_cmyk(save):
    path = save(Image.new("CMYK", (20, 20), (0, 255, 255, 0)), "print.jpg", quality=95)
    red, green, blue = corner(path)
    assert red > 240
    assert max(green, blue) < 15


@pytest.mark.parametrize(("orientation", "where"), [(1, (0, 0)), (3, (-1, -1)), (6, (0, -1))])
def test_phone_image_is_shown_upright(save, orientation, where):
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:8, :8] = 255  # the first stored corner
    exif = Image.Exif()
    exif[0x0112] = orientation
    opened = np.asarray(open_image(save(Image.fromarray(pixels), "p.jpg", exif=exif)))
    assert opened.shape[:2] == ((64, 32) if orientation == 6 else (32, 64))
    assert opened[where].min() > 200


@pytest.mark.parametrize("name", ["film.gif", "film.webp", "film.png"])
def test_first_frame_of_an_animation(save, caplog, name):
    first, *rest = (Image.new("RGB", (20, 20), (level, 0, 0)) for level in (250, 9, 120))
    path = save(first, name, save_all=True, append_images=rest, lossless=True)
    with caplog.at_level(logging.WARNING):
        assert corner(path) == (250, 0, 0)
    assert "first frame" in caplog.text


@pytest.mark.parametrize("size", [(1, 1), (15, 300), (300, 15)])
def test_tiny_image(save, size):
    message = complaint(save(Image.new("RGB", size)))
    assert f"{size[0]}x{size[1]}" in message
    assert "16x16" in message


def test_an_image_far_longer_than_wide_is_refused(save):
    assert "10 times" in complaint(save(Image.new("RGB", (16, 200))))


def test_missing_file_and_folder(tmp_path):
    assert "no such file" in complaint(tmp_path / "none.png")
    assert "folder" in complaint(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", bytes(5000)])
def test_not_an_image(tmp_path, content):
    path = tmp_path / "fake.png"
    path.write_bytes(content)
    message = complaint(path)
    assert "PNG" in message or "export" in message or "0 bytes" in message


@pytest.mark.parametrize("name", ["cut.png", "cut.jpg", "cut.webp", "cut.tiff", "cut.gif"])
def test_truncated_image(save, name):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    path = save(Image.fromarray(noise), name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "export it again" in complaint(path) or "PNG or JPEG" in complaint(path)


@pytest.mark.parametrize("side", [13_000, 60_000])
def test_decompression_bomb(tmp_path, side):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))
    )
    assert "smaller" in complaint(path)


@pytest.mark.parametrize("size_px", [(96, 64), (64, 96), (448, 768), (32, 32)])
@pytest.mark.parametrize("image_size", [(97, 151), (151, 97), (64, 64), (33, 16)])
def test_cover_fills_any_size(size_px, image_size):
    fitted = fit_image(gradient(*image_size), size_px)
    assert fitted.shape == (3, *size_px)
    assert fitted.dtype == torch.uint8


def test_cover_keeps_the_centre():
    pixels = np.zeros((64, 192, 3), np.uint8)
    pixels[:, 64:128] = 255
    assert int(fit_image(Image.fromarray(pixels), (64, 64)).min()) == 255


def test_pad_keeps_everything_on_grey():
    fitted = fit_image(Image.new("RGB", (60, 20), (255, 0, 0)), (60, 60), mode="pad")
    assert fitted[:, 0, 0].tolist() == [128, 128, 128]
    assert fitted[:, 30, :].T.unique(dim=0).tolist() == [[255, 0, 0]]
    assert int((fitted[0] == 255).sum()) == 60 * 20


def test_unknown_fit_is_refused():
    with pytest.raises(InvalidInputError, match="cover"):
        fit_image(gradient(), (32, 32), mode="stretch")


def test_model_range_there_and_back():
    pixels = torch.arange(256, dtype=torch.uint8)
    values = to_model_range(pixels)
    assert (float(values[0]), float(values[-1])) == (-1.0, 1.0)
    # The conversion back rounds down, so float error may cost one level.
    assert int((pixels.int() - from_model_range(values).int()).abs().max()) <= 1


def test_conversion_to_pixels_clips_and_rounds_down():
    values = torch.tensor([-3.0, -1.0, 0.0, 0.999, 1.0, 3.0])
    assert from_model_range(values).tolist() == [0, 0, 127, 254, 255, 255]
