"""Wordings by which a prompt sets the expression and the liveliness of a drawn face."""

from __future__ import annotations

from typing import NamedTuple

from flashtalk_core.config.avatar import AvatarConfig

from ..drawn_faces.motion import EXPRESSIONS, LIVELINESS


class Mood(NamedTuple):
    """What a prompt asks for: indices into ``EXPRESSIONS`` and ``LIVELINESS``."""

    expression: int
    liveliness: int


_EXPRESSION_WORDS = (
    ("", "with a neutral face", "with a relaxed face"),
    ("smiling", "with a friendly smile", "in a happy mood"),
    ("looking serious", "with a serious face", "in a stern mood"),
)
_LIVELINESS_WORDS = (
    ("keeping the head still", "hardly moving", "without moving the head"),
    ("", "moving the head calmly", "moving a little"),
    ("moving the head a lot", "nodding and swaying", "in a lively way"),
)
_SUBJECTS = ("A person is talking", "A speaker is talking to the camera", "Someone is speaking")
_ENDINGS = (
    "",
    " Only the foreground characters are moving, the background remains static.",
)


def prompt_vocabulary() -> dict[str, Mood]:
    """Return every wording with what it asks for, the default prompt among them."""
    vocabulary = {}
    for expression in range(len(EXPRESSIONS)):
        for liveliness in range(len(LIVELINESS)):
            for prompt in _wordings(expression, liveliness):
                vocabulary[prompt] = Mood(expression, liveliness)
    vocabulary[AvatarConfig().prompt] = Mood(0, 1)
    return vocabulary


def mood_prompt(mood: Mood) -> str:
    """Return the shortest wording that asks for a mood."""
    return _wordings(*mood)[0]


def _wordings(expression: int, liveliness: int) -> list[str]:
    return [
        ", ".join(part for part in (subject, mood, manner) if part) + "." + ending
        for subject in _SUBJECTS
        for mood in _EXPRESSION_WORDS[expression]
        for manner in _LIVELINESS_WORDS[liveliness]
        for ending in _ENDINGS
    ]
