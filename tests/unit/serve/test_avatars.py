"""Portraits that are kept ready: those in use stay, whatever else is asked for."""

import io
from contextlib import contextmanager

import pytest
from PIL import Image

from flashtalk_core.engine.spec import PlacementSpec, RenderSpec, SamplingSpec
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.live.decide import Policy
from flashtalk_core.live.plan import plan_live
from flashtalk_core.serve.avatars import Avatars
from tests.unit.serve.lamp import EXAMPLE, SIZE_PX, Lamp

pytestmark = pytest.mark.cpu

POLICY = Policy(idle="still")


class LampEngine:
    """Renders by lamps, and notes whose were closed."""

    def __init__(self):
        self.closed, self.num_opened = [], 0

    @contextmanager
    def open(self, plan, audio, events):
        self.num_opened += 1
        yield Lamp(plan.chunk, audio, 0.0)
        self.closed.append(plan.request.prompt)


def spec_of(fit="cover"):
    return RenderSpec(
        portrait=str(EXAMPLE / "portrait.png"),
        size_px=SIZE_PX,
        fit=fit,
        sampling=SamplingSpec(steps=1),
        placement=PlacementSpec(device="cpu"),
    )


def file_of(image):
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def test_the_portrait_of_a_client_is_cropped_as_the_server_says():
    pytest.importorskip("cv2")
    with Image.open(EXAMPLE / "portrait.png") as found:
        face = found.convert("RGB").resize((256, 256))
    image = Image.new("RGB", (640, 480), (90, 120, 160))
    image.paste(face, (300, 100))
    for fit in ("cover", "face"):
        request = Avatars(plan_live(spec_of(fit)), None).plan(file_of(image)).request
        assert request.fit == "cover"
        if fit == "cover":
            assert (request.image.size, request.face) == (image.size, None)
        else:
            left, top, right, bottom = request.face.frame
            assert request.image.size == (right - left, bottom - top)
            assert right - left < 300
            assert left < 428 < right
            assert top < 228 < bottom


def test_a_portrait_without_a_face_is_refused_where_faces_are_cropped():
    pytest.importorskip("cv2")
    avatars = Avatars(plan_live(spec_of("face")), None)
    with pytest.raises(InvalidInputError, match=r"^portrait: no face that looks into the camera"):
        avatars.plan(file_of(Image.linear_gradient("L")))


def test_a_portrait_in_use_is_not_closed_for_others(monkeypatch):
    monkeypatch.setattr("flashtalk_core.serve.avatars.MAX_AVATARS", 2)
    engine = LampEngine()
    avatars = Avatars(plan_live(spec_of()), engine)

    def plan(number):
        return avatars.plan(prompt=f"person {number}")

    def prepare(numbers):
        for number in numbers:
            avatars.prepare(plan(number), POLICY)

    avatars.hold("a session", plan(0), POLICY)
    prepare(range(4))
    assert engine.closed == ["person 1", "person 2"]
    assert avatars.find(plan(0), POLICY) is not None
    avatars.leave("a session")
    prepare([4])
    assert engine.closed[2:] == ["person 0"] or engine.closed[2:] == ["person 3"]
    for number in range(5, 8):  # more at a time than are kept without a user
        avatars.hold(number, plan(number), POLICY)
        avatars.prepare(plan(number), POLICY)
    assert len(avatars) == 3
    avatars.close()


def test_others_are_drawn_between_the_lengths_that_a_portrait_is_encoded_for():
    engine, seen = LampEngine(), []
    avatars = Avatars(plan_live(spec_of()), engine, (17, 25, 33))
    avatars.prepare(avatars.plan(), POLICY, lambda: seen.append(engine.num_opened))
    assert seen == [0, 1, 2, 3, *[3] * 4]  # then after each chunk, two of the longest
    avatars.close()
