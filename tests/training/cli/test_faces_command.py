"""``faces``: an image of held-out drawings."""

import numpy as np
import pytest
import torch
from PIL import Image

from flashtalk_training.cli.main import main
from flashtalk_training.drawn_faces.styles import OLDER, TRAINED
from flashtalk_training.evaluation.batched_sessions import HeldOutFaces

pytestmark = pytest.mark.training


def test_a_row_for_each_face_begins_with_its_portrait(tmp_path):
    path = tmp_path / "faces.png"
    assert main(["faces", "--style", "older", "--faces", "2", "--size", "32", "-o", str(path)]) == 0
    with Image.open(path) as image:
        assert image.size == (9 * 32, 2 * 32)
        left = torch.from_numpy(np.array(image)[:, :32]).int()
    portraits = HeldOutFaces(2, style=OLDER).portraits((32, 32))
    expected = (portraits * 255).round().movedim(1, -1).flatten(0, 1).int()
    assert (left - expected).abs().max() <= 1


def test_styles_have_faces_of_their_own():
    older, trained = (HeldOutFaces(2, style=each).portraits((32, 32)) for each in (OLDER, TRAINED))
    assert (older - trained).abs().mean() > 0.05
    assert torch.equal(trained, HeldOutFaces(2).portraits((32, 32)))


def test_a_folder_that_is_missing_is_one_line(tmp_path, capsys):
    assert main(["faces", "-o", str(tmp_path / "none" / "f.png")]) == 2
    assert "create it first" in capsys.readouterr().err
