# Phonemes are written in IPA, whose letters resemble Latin ones.
# ruff: noqa: RUF001

import numpy as np
import pytest

from flashtalk_training.drawn_faces.motion import MOUTH_CHANNELS
from flashtalk_training.speech.visemes import (
    PHONEME_CLASSES,
    Span,
    class_track,
    mouth_track,
    shapes_of,
)

pytestmark = pytest.mark.training
OPENING, WIDTH, ROUND, CLOSURE, TEETH, _ = range(len(MOUTH_CHANNELS))


def spoken(*symbols, each_s=0.12, start_s=0.2):
    return [
        Span(s, start_s + i * each_s, start_s + (i + 1) * each_s) for i, s in enumerate(symbols)
    ]


def at(track, time_s):
    return track[round(time_s * 25)]


@pytest.mark.parametrize("consonant", ["p", "b", "m", "pʰ", "mʲ"])
def test_lips_meet_for_bilabials(consonant):
    track = mouth_track(spoken("a", consonant, "a"), 20)
    frame = round((0.32 + 0.03) * 25)
    assert track[frame, OPENING] == 0
    assert track[frame, CLOSURE] == pytest.approx(1)
    assert track[:, OPENING].max() > 0.7


@pytest.mark.parametrize("offset_ms", range(0, 40, 5))
@pytest.mark.parametrize("consonant", ["p", "b", "m"])
def test_a_closure_shorter_than_a_frame_still_shuts_a_frame(consonant, offset_ms):
    start = 0.4 + offset_ms / 1000
    spans = [
        Span("a", 0.1, start),
        Span(consonant, start, start + 0.012),
        Span("a", start + 0.012, 0.8),
    ]
    opening = mouth_track(spans, 25)[:, OPENING]
    shut = np.flatnonzero(opening[5:18] == 0) + 5
    assert len(shut) == 1
    assert abs(shut[0] / 25 - (start + 0.006)) <= 0.025
    assert opening[shut[0] - 2] > 0.5
    assert opening[shut[0] + 2] > 0.5


def test_fast_speech_shuts_once_for_each_closure():
    track = mouth_track(spoken(*"papabamamapaba", each_s=0.06), 40)
    opening = track[:, OPENING]
    onsets = np.flatnonzero((opening[1:] == 0) & (opening[:-1] > 0))
    assert len(onsets) >= 7


def test_teeth_meet_the_lip_for_f_and_v():
    for consonant in "fv":
        track = mouth_track(spoken("a", consonant, "a"), 20)
        frame = at(track, 0.38)
        assert 0 < frame[OPENING] <= 0.06
        assert frame[TEETH] > 0.5
        assert frame[CLOSURE] == 0


def test_vowels_open_by_their_height():
    peaks = [mouth_track(spoken(v, each_s=0.3), 20)[:, OPENING].max() for v in "aɛeiu"]
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[0] > 3 * peaks[-1] > 0.3


def test_rounded_vowels_round_and_spread_ones_spread():
    rounded = mouth_track(spoken("u", each_s=0.3), 20)
    spread = mouth_track(spoken("i", each_s=0.3), 20)
    assert at(rounded, 0.36)[ROUND] > 0.8
    assert at(rounded, 0.36)[WIDTH] < -0.4
    assert at(spread, 0.36)[WIDTH] > 0.6
    assert at(spread, 0.36)[ROUND] < 0.1


def test_pauses_and_silence_are_shut():
    spans = [Span("a", 0.2, 0.4), Span("", 0.4, 1.0), Span("a", 1.0, 1.2)]
    opening = mouth_track(spans, 60)[:, OPENING]
    assert (opening[13:23] == 0).all()
    assert (opening[36:] == 0).all()
    assert mouth_track([], 10).any() == np.False_


def test_gaps_within_speech_do_not_shut_the_mouth():
    spans = [Span("a", 0.2, 0.4), Span("", 0.4, 0.44), Span("a", 0.44, 0.7)]
    assert (mouth_track(spans, 20)[6:16, OPENING] > 0.5).all()


def test_frame_k_is_the_moment_k_over_25():
    early = mouth_track([Span("a", 1.0, 1.4)], 50)[:, OPENING]
    late = mouth_track([Span("a", 1.2, 1.6)], 50)[:, OPENING]
    np.testing.assert_allclose(early[:-5], late[5:], atol=1e-6)
    centre = (early * np.arange(50)).sum() / early.sum() / 25
    assert centre == pytest.approx(1.2, abs=0.01)


def test_channels_stay_in_range():
    rng = np.random.default_rng(0)
    letters = list("pbmfvθðtdnszʃʒkɡŋhjwlɹaæɑɒɛeəɔouʊiɪyøœ")
    track = mouth_track(spoken(*rng.choice(letters, 200), each_s=0.07), 380)
    assert track.dtype == np.float32
    assert track.min() >= -1
    assert track.max() <= 1
    assert np.delete(track, WIDTH, axis=1).min() >= 0
    assert np.abs(np.diff(track[:, OPENING])).max() < 0.95


@pytest.mark.parametrize(
    ("symbol", "kinds"),
    [
        ("aɪ", ["open", "close"]),
        ("ˈɑː", ["open"]),
        ("tʃ", ["alveolar", "postalveolar"]),
        ("pf", ["bilabial", "labiodental"]),
        ("œ̃", ["rounded"]),
        ("s.", ["sibilant"]),
        ("ç", ["palatal"]),
        ("é", ["mid"]),
        ("ж", ["mid"]),
        ("", ["silence"]),
        ("ʲ", ["silence"]),
    ],
)
def test_symbols_become_shapes(symbol, kinds):
    assert [shape.kind for shape in shapes_of(symbol)] == kinds


def test_classes_say_what_is_spoken():
    classes = class_track(spoken("m", "a", "s"), 25)
    names = [PHONEME_CLASSES[c] for c in classes]
    assert names[:5] == ["silence"] * 5
    assert names[5:8] == ["bilabial"] * 3
    assert names[8:11] == ["open"] * 3
    assert names[11:14] == ["sibilant"] * 3
    assert names[14:] == ["silence"] * 11
