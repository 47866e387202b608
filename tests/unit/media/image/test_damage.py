"""Damaged images: what every viewer shows is opened, the rest refused in one line."""

import logging
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.image.portrait import open_image

from .image_files import (
    chunk,
    encoded,
    gama,
    noise,
    png_of,
    segment,
    with_chunks,
    with_segments,
)

pytestmark = pytest.mark.cpu

PICTURE = noise(256, 256)
JPEG = encoded(PICTURE, "JPEG", quality=90)
PROGRESSIVE = encoded(PICTURE, "JPEG", quality=90, progressive=True)
PLAIN_PNG = encoded(PICTURE, "PNG")


@pytest.fixture
def opened(tmp_path):
    def opened(data):
        (tmp_path / "picture").write_bytes(data)
        image = open_image(tmp_path / "picture")
        assert ImageFile.LOAD_TRUNCATED_IMAGES is False
        return np.asarray(image, int)

    return opened


@pytest.fixture
def complaint(opened):
    def complaint(data):
        with pytest.raises(InvalidInputError) as caught:
            opened(data)
        message = str(caught.value)
        assert message.isprintable()
        return message

    return complaint


BROKEN_EXIF = b"MM\0*\xff\xff\xff\xff"
NOTES = {
    "text with a wrong checksum": lambda: chunk(b"tEXt", b"Comment\0hello")[:-1] + b"!",
    "long packed text": lambda: chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(9_000_000))),
    "long XMP": lambda: chunk(
        b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(9_000_000))
    ),
    "many texts": lambda: chunk(b"tEXt", b"Comment\0" + b"a" * 900_000) * 80,
    "broken EXIF": lambda: chunk(b"eXIf", BROKEN_EXIF),
    "raw EXIF that is none": lambda: chunk(b"tEXt", b"Raw profile type exif\0\nexif\n9\nzz"),
    "short gamma": lambda: chunk(b"gAMA", b"\0"),
    "gamma with a wrong checksum": lambda: chunk(*gama(100_000))[:-1] + b"!",
    "short size": lambda: chunk(b"pHYs", b"\0"),
    "long transparency": lambda: chunk(b"tRNS", bytes(300)),
    "short animation": lambda: chunk(b"acTL", b"\0\0"),
    "unknown": lambda: chunk(b"abCd", b"hello"),
    "broken profile": lambda: chunk(b"iCCP", b"name"),
    "short tags": lambda: chunk(b"cICP", b"\1") + chunk(b"cHRM", b"\1"),
}


@pytest.mark.parametrize("note", NOTES.values(), ids=NOTES.keys())
def test_a_damaged_note_does_not_stop_a_png(opened, note):
    shown = opened(PLAIN_PNG[:33] + note() + PLAIN_PNG[33:])
    assert np.array_equal(shown, np.asarray(PICTURE))


ENDS = {
    "junk": PLAIN_PNG + b"PK\3\4junk" * 50,
    "no end": PLAIN_PNG[:-12],
    "half an end": PLAIN_PNG[:-5],
    "no checksum of data": PLAIN_PNG[:-20],
    "another checksum of data": PLAIN_PNG[:-18] + b"!" + PLAIN_PNG[-17:],
    "another checksum of the chunk": PLAIN_PNG[:-14] + b"!" + PLAIN_PNG[-13:],
    "a note without end": PLAIN_PNG[:-12] + b"\x7f\xff\xff\xf0tEXthello",
}


@pytest.mark.parametrize("data", ENDS.values(), ids=ENDS.keys())
def test_data_after_the_image_does_not_matter(opened, data):
    assert np.array_equal(opened(data), np.asarray(PICTURE))


SEGMENTS = {
    "index of pictures": segment(0xE2, b"MPF\0MM\0*\xff\xff\xff\xff"),
    "EXIF": segment(0xE1, b"Exif\0\0" + BROKEN_EXIF),
    "EXIF of another type": segment(
        0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\2\0\0\0\4abc\0" + bytes(4)
    ),
    "short JFIF": segment(0xE0, b"JFIF\0"),
    "short Adobe": segment(0xEE, b"Adobe"),
    "Photoshop": segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\xff\xff"),
    "profile of five, one": segment(0xE2, b"ICC_PROFILE\0\1\5hello"),
    "short profile": segment(0xE2, b"ICC_PROFILE\0"),
    "comment": segment(0xFE, b"\xff\xd9\xff\xda"),
    "fill bytes": b"\xff\xff\xff",
    "junk": segment(0xFE, b"") + b"junk",
}


@pytest.mark.parametrize("data", SEGMENTS.values(), ids=SEGMENTS.keys())
@pytest.mark.parametrize("whole", [JPEG, PROGRESSIVE])
def test_a_damaged_segment_does_not_stop_a_jpeg(opened, data, whole):
    expected = opened(whole)
    assert np.array_equal(opened(with_segments(whole, data)), expected)


@pytest.mark.parametrize("whole", [JPEG, PROGRESSIVE])
@pytest.mark.parametrize("end", [b"", b"\xff", bytes(500), b"junk"])
def test_a_jpeg_without_its_end_marker(opened, whole, caplog, end):
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(opened(whole[:-2] + end), opened(whole))
    assert caplog.text == ""


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_progressive_jpeg_that_lacks_detail_is_shown(opened, caplog, share):
    with caplog.at_level(logging.WARNING):
        shown = opened(PROGRESSIVE[: int(len(PROGRESSIVE) * share)])
    assert np.abs(shown - np.asarray(PICTURE)).mean() < 45
    assert "lacks fine detail" in caplog.text


def test_a_progressive_jpeg_that_lacks_its_first_scan_is_refused(complaint):
    first = PROGRESSIVE.index(b"\xff\xda")
    second = PROGRESSIVE.index(b"\xff\xda", first + 2)
    assert "missing" in complaint(PROGRESSIVE[: (first + second) // 2])


def test_a_few_last_bytes_are_reported(opened, caplog):
    with caplog.at_level(logging.WARNING):
        opened(JPEG[:-12])
    assert "% of it is missing" in caplog.text


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("whole", [JPEG, PLAIN_PNG, encoded(PICTURE, "BMP")])
def test_an_image_of_which_a_part_is_missing_is_refused(complaint, whole, share):
    message = complaint(whole[: int(len(whole) * share)])
    assert "cannot be read" in message
    missing = float(message.split("(")[1].split(" %")[0])
    assert missing == pytest.approx(100 * (1 - share), abs=5)


def test_data_damaged_in_the_middle_count_as_missing(complaint):
    data = bytearray(PLAIN_PNG)
    data[len(data) // 2 : len(data) // 2 + 8] = bytes(8)
    assert "% of it is missing" in complaint(bytes(data))


def test_a_bitmap_may_lack_the_bytes_that_fill_its_last_row(opened):
    image = noise(257, 64)
    data = encoded(image, "BMP")
    assert np.array_equal(opened(data[:-1]), np.asarray(image))


def test_a_png_with_a_wrong_header_is_refused(complaint):
    assert "damaged PNG header" in complaint(PLAIN_PNG[:30] + b"!" + PLAIN_PNG[31:])
    assert "no PNG header" in complaint(png_of((b"IDAT", b"")))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("x\x1b[31m\ny"),
        NotImplementedError(),
        struct.error("unpack"),
        IndexError(),
        TypeError("'NoneType'"),
        OverflowError(),
        SyntaxError("bad"),
        zlib.error(),
        RecursionError(),
        AssertionError(),
        KeyError("x"),
        ZeroDivisionError(),
        Image.DecompressionBombError("bomb"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "start"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("place", ["__init__", "load"])
def test_whatever_pillow_raises_becomes_one_line(complaint, monkeypatch, error, place):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(f"PIL.WebPImagePlugin.WebPImageFile.{place}", fail)
    assert "export it again as PNG or JPEG" in complaint(encoded(PICTURE, "WEBP"))


def test_lack_of_memory_is_reported_as_such(complaint, monkeypatch):
    def fail(*args):
        raise MemoryError

    monkeypatch.setattr("PIL.WebPImagePlugin.WebPImageFile.load", fail)
    assert "not enough memory" in complaint(encoded(PICTURE, "WEBP"))


def test_an_interrupt_passes(opened, monkeypatch):
    def fail(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("PIL.WebPImagePlugin.WebPImageFile.load", fail)
    with pytest.raises(KeyboardInterrupt):
        opened(encoded(PICTURE, "WEBP"))


def test_a_file_without_read_permission_is_reported_so(tmp_path, monkeypatch):
    def fail(*args, **options):
        raise PermissionError(13, "Permission denied", "picture")

    (tmp_path / "picture").write_bytes(JPEG)
    monkeypatch.setattr("pathlib.Path.open", fail)
    with pytest.raises(InvalidInputError, match="Permission denied; check the path"):
        open_image(tmp_path / "picture")


@pytest.mark.parametrize("orientation", [6, 8])
def test_orientation_is_found_in_every_kind_of_note(opened, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    raw = exif.tobytes()[6:]
    text = f"\nexif\n{len(raw)}\n{raw.hex()}".encode()
    xmp = b'<x tiff:Orientation="%d"/>' % orientation
    image = noise(64, 32)
    turned = np.asarray(image.rotate(-90 if orientation == 6 else 90, expand=True))
    for data in (
        with_chunks(image, (b"eXIf", raw)),
        with_chunks(image, (b"tEXt", b"Raw profile type exif\0" + text)),
        with_chunks(image, (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))),
        with_chunks(image, (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)),
        encoded(image, "TIFF", exif=exif),
        encoded(image, "WEBP", exif=exif, lossless=True),
    ):
        assert np.array_equal(opened(data), turned)
    jpeg = encoded(image, "JPEG")
    upright = opened(with_segments(jpeg, segment(0xE1, exif.tobytes())))
    by_xmp = opened(with_segments(jpeg, segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)))
    assert upright.shape == turned.shape
    assert np.array_equal(upright, by_xmp)
