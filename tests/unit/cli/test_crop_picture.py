"""The picture of how a portrait was cropped, next to the video."""

import pytest
from PIL import Image

from flashtalk_core.cli.rendering.crop_picture import save_face_picture
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.image.faces.detection import FaceBox
from flashtalk_core.media.image.faces.framing import FacePick

pytestmark = pytest.mark.cpu


@pytest.fixture
def pick():
    face = FaceBox(8, 8, 16, 16)
    return FacePick(Image.new("RGB", (32, 32)), (face,), face, (0, 0, 32, 32), (32, 32))


def test_a_picture_of_an_earlier_render_is_replaced(tmp_path, pick):
    older = tmp_path / "talk.face.jpg"
    older.touch()
    assert save_face_picture(pick, tmp_path / "talk.mp4", [tmp_path / "a.png"]) == older
    with Image.open(older) as picture:
        assert picture.format == "JPEG"


def test_a_portrait_of_that_name_is_not_replaced(tmp_path, pick):
    portrait = tmp_path / "talk.face.jpg"
    portrait.write_bytes(b"mine")
    link = tmp_path / "link.jpg"
    link.symlink_to(portrait)
    for source in (portrait, link):
        with pytest.raises(InvalidInputError, match="would be overwritten; choose another name"):
            save_face_picture(pick, tmp_path / "talk.mp4", [source])
    assert portrait.read_bytes() == b"mine"
