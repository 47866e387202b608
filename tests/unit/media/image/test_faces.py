"""Faces in an image: what OpenCV finds, and what is said where it cannot be asked."""

import sys
from pathlib import Path

import pytest
from PIL import Image

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.image.faces import detection
from flashtalk_core.media.image.faces.detection import FaceBox, find_faces

pytestmark = pytest.mark.cpu

EXAMPLE = Path(detection.__file__).parents[3] / "assets" / "example" / "portrait.png"


@pytest.fixture(scope="module")
def portrait():
    with Image.open(EXAMPLE) as image:
        return image.convert("RGB").resize((256, 256))


@pytest.fixture
def cv2():
    return pytest.importorskip("cv2")


def test_two_drawn_faces_are_found_from_left_to_right(cv2, portrait):
    both = Image.new("RGB", (640, 256), (90, 120, 160))
    both.paste(portrait, (380, 0))
    both.paste(portrait.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (0, 0))
    left, right = find_faces(both)
    for face, middle in ((left, 128), (right, 508)):
        assert abs(face.centre[0] - middle) < 12
        assert abs(face.centre[1] - 128) < 16
        assert 110 < face.width < 180


def test_boxes_are_in_pixels_of_the_image_whatever_its_size(cv2, portrait):
    (small,), (large,) = find_faces(portrait), find_faces(portrait.resize((2048, 2048)))
    assert abs(large.width / 8 - small.width) < 8
    assert large.left + large.width <= 2048


def test_an_image_without_a_face_has_none(cv2):
    assert find_faces(Image.linear_gradient("L")) == ()


def test_a_missing_opencv_is_an_error_with_its_command(monkeypatch, portrait):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InvalidInputError, match=r'"opencv-python-headless>=4.11,<5"') as caught:
        find_faces(portrait)
    assert caught.value.subject == "fit"


def test_an_opencv_without_cascades_asks_for_an_older_one_or_a_file(cv2, monkeypatch, portrait):
    monkeypatch.delattr(cv2, "CascadeClassifier")  # as in OpenCV 5
    with pytest.raises(InvalidInputError, match="headless<5', or name YuNet's file"):
        find_faces(portrait)


def test_a_detector_that_cannot_be_used_is_an_error_with_its_path(cv2, tmp_path, portrait):
    path = tmp_path / "yunet.onnx"
    with pytest.raises(InvalidInputError) as caught:
        find_faces(portrait, path)
    assert str(caught.value) == f"face detector {path}: no such file; check the path"
    assert caught.value.subject == "fit"
    path.write_bytes(b"no network")
    with pytest.raises(InvalidInputError) as caught:
        find_faces(portrait, path)
    assert str(caught.value) == (
        f"face detector {path}: OpenCV {cv2.__version__} cannot use it; name YuNet's file, "
        "face_detection_yunet_2023mar.onnx of OpenCV's model zoo"
    )


def test_of_boxes_within_one_another_the_larger_one_stays():
    outer, inner, other = FaceBox(0, 0, 40, 40), FaceBox(10, 12, 20, 20), FaceBox(100, 0, 30, 30)
    assert detection._apart([inner, other, outer]) == [outer, other]
