"""The worst frame of a session's eyes against the mean."""

import pytest

from flashtalk_training.drawn_faces.eyes import draw_eye_states
from flashtalk_training.drawn_faces.motion import rest_motion
from flashtalk_training.drawn_faces.styles import TRAINED
from flashtalk_training.evaluation.batched_sessions import HeldOutFaces
from flashtalk_training.evaluation.eye_error import chunk_error, summarise

pytestmark = pytest.mark.training

SIZE = (96, 96)


def test_the_worst_frame_and_its_chunk_are_told():
    held_out = HeldOutFaces(2, first_face=4)
    faces, portraits = held_out.identities(), held_out.portraits(SIZE)
    states = draw_eye_states(TRAINED, faces, SIZE)
    good = TRAINED.render(faces, rest_motion(2, 3), SIZE)
    bad = good.clone()
    # In one frame of one face both eyes are wiped out.
    bad[1, 2, :, 38:54] = bad[1, 2, :, 38:54].mean(dim=(1, 2), keepdim=True)
    sound, broken = (chunk_error(frames, portraits, states) for frames in (good, bad))
    calm = summarise([sound, sound])
    assert calm["worst_over_mean"] < 1.5
    found = summarise([sound, broken, sound])
    assert found["worst_chunk"] == 2
    assert found["worst"] > 0.3 > 5 * calm["worst"]
    expected = (calm["mean"] * 3 * 6 + found["worst"]) / 18
    assert found["mean"] == pytest.approx(expected, rel=0.25)
    assert found["worst_over_mean"] == pytest.approx(found["worst"] / found["mean"])
