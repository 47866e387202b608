import numpy as np
import pytest

from flashtalk_training.speech.script import Script
from flashtalk_training.speech.speech import Voice

pytestmark = pytest.mark.training


def draws(held_out, count=400):
    script = Script(np.random.default_rng(0), held_out)
    voices = [script.voice() for _ in range(count)]
    return voices, {script.text(voice) for voice in voices[: count // 4]}


def test_held_out_voices_and_texts_are_never_trained_on():
    train_voices, train_texts = draws(held_out=False)
    test_voices, test_texts = draws(held_out=True)
    assert not {v.variant for v in train_voices} & {v.variant for v in test_voices}
    assert not train_texts & test_texts


def test_voices_are_varied():
    voices, texts = draws(held_out=False)
    assert len({voice.name for voice in voices}) > 150
    assert len({voice.language for voice in voices}) > 12
    assert len(texts) > 60
    assert min(v.rate_wpm for v in voices) < 130 < 220 < max(v.rate_wpm for v in voices)


def test_a_held_out_text_is_never_repeated():
    script = Script(np.random.default_rng(1), held_out=True)
    texts = [script.text(Voice("pt", "")) for _ in range(40)]
    assert len(set(texts)) == 40


def test_the_same_seed_gives_the_same_script():
    assert draws(held_out=True) == draws(held_out=True)
