import pytest

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_training.drawn_faces.motion import EXPRESSIONS, LIVELINESS
from flashtalk_training.speech.prompts import Mood, mood_prompt, prompt_vocabulary

pytestmark = pytest.mark.training


def test_every_mood_has_several_wordings():
    moods = list(prompt_vocabulary().values())
    for expression in range(len(EXPRESSIONS)):
        for liveliness in range(len(LIVELINESS)):
            assert moods.count((expression, liveliness)) >= 5


def test_the_default_prompt_is_neutral_and_calm():
    assert prompt_vocabulary()[AvatarConfig().prompt] == (0, 1)


def test_words_say_the_mood():
    mood = prompt_vocabulary()["A person is talking, smiling, moving the head a lot."]
    assert (EXPRESSIONS[mood.expression], LIVELINESS[mood.liveliness]) == ("smiling", "lively")


def test_the_shortest_wording_of_a_mood_asks_for_it():
    for expression in range(len(EXPRESSIONS)):
        for liveliness in range(len(LIVELINESS)):
            mood = Mood(expression, liveliness)
            assert prompt_vocabulary()[mood_prompt(mood)] == mood
    assert mood_prompt(Mood(0, 1)) == "A person is talking."
