"""The closures of p, b and m, against those of the drawn truth."""

import pytest
import torch

from flashtalk_training.evaluation.closures import measure_closures
from flashtalk_training.evaluation.eval_clip import held_out_clips
from flashtalk_training.evaluation.measures import drawn_shape
from flashtalk_training.speech.corpus_file import Segment, pack_corpus
from flashtalk_training.speech.visemes import PHONEME_CLASSES, Span, class_track, mouth_track

pytestmark = pytest.mark.training

P, A = (PHONEME_CLASSES.index(kind) for kind in ("bilabial", "open"))


def test_shares_are_of_the_frames_of_p_b_and_m_alone():
    phonemes = torch.tensor([P, P, P, P, A, A])
    drawn = torch.tensor([0.0, 0.05, 0.0, 0.4, 0.0, 0.8])
    measured = torch.tensor([0.0, 0.3, 0.09, 0.2, 0.0, 0.0])
    assert measure_closures(measured, drawn, phonemes) == pytest.approx(
        {"pbm_frames": 4, "pbm_shut": 0.5, "pbm_shut_drawn": 0.75, "pbm_shut_of_drawn": 2 / 3}
    )


def test_speech_without_p_b_and_m_has_no_closures():
    found = measure_closures(torch.zeros(3), torch.zeros(3), torch.full((3,), A))
    assert set(found.values()) == {0}


def test_drawn_closures_of_speech_are_seen_and_a_mouth_that_stays_open_has_none():
    sounds = "apaba" * 6
    spans = [Span(sound, 0.12 * i, 0.12 * (i + 1)) for i, sound in enumerate(sounds)]
    frames = round(0.12 * len(sounds) * 25)
    track, said = mouth_track(spans, frames), class_track(spans, frames)
    noise = torch.zeros(frames * 640).numpy()
    clips = held_out_clips(pack_corpus([Segment(noise, track, said, "v", True)]), 1, (96, 96))
    drawn, phonemes = drawn_shape(clips[0], (96, 96))[:, 0], torch.from_numpy(clips[0].phonemes)
    found = measure_closures(drawn, drawn, phonemes)
    assert found["pbm_frames"] >= 12
    assert found["pbm_shut_drawn"] > 0.5
    assert found["pbm_shut_of_drawn"] == 1
    assert measure_closures(drawn + 0.2, drawn, phonemes)["pbm_shut_of_drawn"] == 0
