"""Frames around faces."""

import pytest
from PIL import Image

from flashtalk_core.config.avatar import FramingConfig
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.image.faces.detection import FaceBox
from flashtalk_core.media.image.faces.framing import pick_face

pytestmark = pytest.mark.cpu

SIZE = 768, 448
FRAMING = FramingConfig(face_share=0.25, face_y=0.36)


def picked(faces, image_size=(4000, 3000), size_px=SIZE):
    return pick_face(Image.new("RGB", image_size, (90, 80, 70)), faces, size_px, FRAMING)


@pytest.mark.parametrize("size_px", [(768, 448), (448, 768), (576, 576)])
def test_the_face_lies_where_the_model_has_it(size_px):
    face = FaceBox(1800, 1300, 200, 200)
    left, top, right, bottom = picked((face,), size_px=size_px).frame
    width, height = right - left, bottom - top
    assert width / height == pytest.approx(size_px[1] / size_px[0], rel=0.01)
    assert face.width / (width * height) ** 0.5 == pytest.approx(0.25, rel=0.01)
    assert (face.centre[0] - left) / width == pytest.approx(0.5, abs=0.01)
    assert (face.centre[1] - top) / height == pytest.approx(0.36, abs=0.01)


@pytest.mark.parametrize("face", [FaceBox(0, 0, 90, 90), FaceBox(510, 610, 90, 90)])
def test_a_frame_at_the_edge_stays_in_the_image(face):
    left, top, right, bottom = picked((face,), (600, 700)).frame
    assert left >= 0
    assert top >= 0
    assert right <= 600
    assert bottom <= 700
    assert left <= face.left
    assert right >= face.left + face.width


def test_a_portrait_without_room_around_the_face_is_taken_as_far_as_it_goes():
    assert picked((FaceBox(100, 100, 300, 300),), (448, 768)).frame == (0, 0, 448, 768)


def test_the_largest_of_several_faces_is_taken_and_said_so():
    small, large = FaceBox(100, 500, 80, 80), FaceBox(2000, 700, 240, 240)
    found = picked((small, large))
    assert found.face == large
    (note,) = found.notes()
    assert "2 faces found, the largest is taken, at x 2000, y 700" in note


def test_a_face_that_must_be_enlarged_is_said_so():
    (note,) = picked((FaceBox(900, 900, 60, 60),)).notes()
    assert "has 183x314 pixels and is enlarged 2.4 times" in note


def test_no_face_is_an_error_with_a_remedy():
    with pytest.raises(
        InvalidInputError, match=r"no face found .* crop the image by hand"
    ) as error:
        picked(())
    assert error.value.subject == "fit"


def test_the_picture_shows_the_frame_bright_and_marks_the_face():
    found = picked((FaceBox(1800, 1300, 200, 200), FaceBox(100, 100, 100, 100)))
    shown = found.picture()
    assert shown.size == (1024, 768)
    assert shown.getpixel((1000, 700)) < (50, 50, 50)  # cut off
    assert shown.getpixel((486, 400)) == (90, 80, 70)
    colours = {colour for _, colour in shown.getcolors()}
    assert {(64, 224, 96), (240, 192, 64), (255, 255, 255)} <= colours
