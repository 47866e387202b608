import json
import wave

import numpy as np
import pytest
from PIL import Image

from flashtalk_core.errors import FlashTalkError
from flashtalk_training.speech.corpus import (
    coloured_noise,
    level_speech,
    make_corpus,
    silent_segment,
)
from flashtalk_training.speech.corpus_file import load_corpus
from flashtalk_training.speech.example import make_example
from flashtalk_training.speech.speech import Span, Synthesiser, Voice, phoneme_spans
from flashtalk_training.speech.visemes import mouth_track


@pytest.mark.training
def test_a_plosive_begins_with_its_closure():
    marks = [(0, "a"), (4800, "p"), (5600, "i"), (9600, "")]
    spans = phoneme_spans(marks, 16_000, 16_000)
    assert [span.symbol for span in spans] == ["a", "p", "i", ""]
    assert spans[1].start_s == pytest.approx(0.255)
    assert spans[0].end_s == spans[1].start_s
    assert spans[-1].end_s == 1.0


@pytest.mark.training
def test_marks_of_a_language_change_are_no_phonemes():
    spans = phoneme_spans([(0, "(en)"), (100, "a"), (200, "(de)")], 300, 100)
    assert spans == [Span("a", 1.0, 3.0)]


@pytest.mark.training
def test_loudness_does_not_tell_voices_apart():
    rng = np.random.default_rng(0)
    speech = (rng.standard_normal(16_000) * 0.1).astype(np.float32)
    quiet, loud = level_speech(0.02 * speech), level_speech(3.0 * speech)
    np.testing.assert_allclose(quiet, loud, atol=1e-5)
    assert np.abs(level_speech(np.zeros(10, np.float32))).max() == 0


@pytest.mark.training
def test_silence_has_a_shut_mouth():
    segment = silent_segment(np.random.default_rng(0), 4.0, held_out=False)
    assert segment.mouth.shape == (100, 6)
    assert segment.mouth.any() == np.False_
    assert len(segment.samples) == 64_000
    assert coloured_noise(np.random.default_rng(1), 16_000).std() == pytest.approx(1, abs=1e-3)


@pytest.mark.manual
def test_speech_is_quiet_where_the_lips_are_shut():
    synthesiser = Synthesiser()
    speech = synthesiser.say("A papa, a papa, a papa.", Voice("en-us", "f3"))
    track = mouth_track(speech.spans, int(25 * speech.duration_s))
    shut = [span for span in speech.spans if span.symbol == "p"]
    assert len(shut) == 6
    for span in shut:
        middle = int((span.start_s + 0.02) * speech.rate_hz)
        assert np.abs(speech.samples[middle - 100 : middle + 100]).max() < 0.02
        assert track[round((span.start_s + 0.025) * 25), 0] < 0.1
    with pytest.raises(FlashTalkError, match="not known"):
        synthesiser.say("a", Voice("nowhere", ""))


@pytest.mark.manual
def test_a_corpus_keeps_its_parts_apart(tmp_path):
    make_corpus(tmp_path / "corpus", minutes=4.0, seed=3)
    corpus = load_corpus(tmp_path / "corpus")
    train, held_out = (
        [corpus.segment(i) for i in corpus.indices(held_out=part)] for part in (False, True)
    )
    assert not {s.voice for s in train} & {s.voice for s in held_out} - {"silence"}
    assert all(4.0 <= len(s.mouth) / 25 <= 10.04 for s in held_out)
    openings = [s.mouth[:100, 0] for s in held_out if s.voice != "silence"]
    pairs = [np.corrcoef(a, b)[0, 1] for i, a in enumerate(openings) for b in openings[:i]]
    assert abs(np.mean(pairs)) < 0.2


@pytest.mark.manual
def test_the_example_has_a_portrait_a_speech_and_its_track(tmp_path):
    make_example(tmp_path, size_px=64)
    with Image.open(tmp_path / "portrait.png") as image:
        assert image.size == (64, 64)
    with wave.open(str(tmp_path / "speech.wav")) as file:
        frames = -(-25 * file.getnframes() // file.getframerate())
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (22_050, 2, 1)
    track = json.loads((tmp_path / "speech.track.json").read_text())
    assert len(track["mouth"]) == frames
