"""Who says what: voices and texts, those for training apart from the held-out ones."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .sentences import SENTENCES, WORDS
from .speech import Voice

_LANGUAGES = (
    "en-us", "en-us", "en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-029", "de", "de",
    "fr", "fr-be", "es", "es-419", "it", "pt", "pt-br", "nl", "pl", "cmn-latn-pinyin",
)  # fmt: skip
"""Repeated where they should be drawn more often."""
_TRAIN_VARIANTS = (
    "", "m1", "m2", "m3", "m4", "m6", "m7", "m8", "f1", "f3", "f4", "Alex", "Andrea", "Annie",
    "Denis", "Gene", "Hugo", "Lee", "Marco", "Michael", "adam", "belinda", "david", "edward",
    "grandma", "john", "linda", "max", "miguel", "paul", "rob", "steph", "victor", "klatt2",
)  # fmt: skip
_HELD_OUT_VARIANTS = (
    "m5", "f2", "f5", "Alicia", "Andy", "Jacky", "Mike", "antonio", "benjamin", "ed",
    "marcelo", "pablo", "travis",
)  # fmt: skip
_ONSETS = (
    "b", "br", "c", "ch", "d", "dr", "f", "fl", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "pl",
    "pr", "qu", "r", "s", "sh", "sl", "sp", "st", "t", "th", "tr", "v", "w", "y", "z", "",
)  # fmt: skip
_NUCLEI = ("a", "e", "i", "o", "u", "a", "e", "i", "o", "u", "ai", "au", "ee", "ou", "oo", "io")
_CODAS = ("", "", "", "b", "k", "l", "m", "mp", "n", "ng", "p", "r", "s", "st", "t", "f")
_EVERY = 5
"""One sentence of so many is held out."""


@dataclass
class Script:
    """An endless supply of voices and texts for one part of the corpus.

    Texts of the two parts never meet: held-out sentences, and the words strung together at
    random, come from sentences the training part does not have; lists of numbers and words
    are distinguished by their first number.
    """

    rng: np.random.Generator
    held_out: bool
    invents: bool = False
    """Whether half of the texts are invented words, so that sounds meet in every order."""
    used: set[str] = field(default_factory=set)
    """Every text given so far."""

    def voice(self) -> Voice:
        """Draw a voice; the variants of the two parts are disjoint."""
        rng = self.rng
        variants = _HELD_OUT_VARIANTS if self.held_out else _TRAIN_VARIANTS
        return Voice(
            language=str(rng.choice(_LANGUAGES)),
            variant=str(rng.choice(variants)),
            rate_wpm=int(rng.integers(115, 235)),
            pitch=int(rng.integers(15, 86)),
            pitch_range=int(rng.integers(25, 85)),
        )

    def text(self, voice: Voice) -> str:
        """Draw a text in the language of ``voice``; held-out ones are never repeated."""
        while True:
            text = self._draw(voice.language.split("-")[0])
            if not (self.held_out and text in self.used):
                self.used.add(text)
                return text

    def _draw(self, language: str) -> str:
        if self.invents and self.rng.random() < 0.5:
            return " ".join(self._word() for _ in range(int(self.rng.integers(4, 11)))) + "."
        sentences = self._sentences(language)
        kind = self.rng.random()
        if kind < 0.5:
            return str(self.rng.choice(sentences))
        if kind < 0.8:
            words = " ".join(sentences).split()
            count = min(int(self.rng.integers(4, 11)), len(words))
            return " ".join(self.rng.choice(words, count, replace=False)).strip(" ,?") + "."
        return self._list(language)

    def _sentences(self, language: str) -> list[str]:
        own = SENTENCES[language]
        return [s for i, s in enumerate(own) if (i % _EVERY == _EVERY - 1) == self.held_out]

    def _word(self) -> str:
        """Invent a word of one to four syllables; every language pronounces it differently."""
        parts = (_ONSETS, _NUCLEI, _CODAS) * int(self.rng.integers(1, 5))
        return "".join(str(self.rng.choice(letters)) for letters in parts)

    def _list(self, language: str) -> str:
        """Return numbers and words in a row, the first number odd if held out."""
        first = 2 * int(self.rng.integers(0, 500)) + self.held_out
        parts = [str(first)]
        for _ in range(int(self.rng.integers(2, 6))):
            if self.rng.random() < 0.6:
                parts.append(str(self.rng.choice(WORDS[language])))
            else:
                parts.append(str(int(10 ** self.rng.uniform(0, 4))))
        joint = ", " if self.rng.random() < 0.5 else " "
        return joint.join(parts) + "."
