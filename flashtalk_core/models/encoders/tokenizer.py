"""Sentencepiece tokenizer of the text encoder."""

from __future__ import annotations

import html
import logging
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ...borders import library_border
from ...errors import WeightsError
from ...log import printable_log
from ...packages import missing_package

_LOG = printable_log(logging.getLogger(__name__))
_MAX_BYTES = 64_000_000
"""Ten times the vocabulary of umT5."""


class Tokenizer:
    """Prompt text to padded token ids, cleaned the way the authors clean it."""

    def __init__(self, model: bytes, source: str = "tokenizer") -> None:
        """Read a serialised sentencepiece model.

        Args:
            model: Content of a ``spiece.model`` file.
            source: Where it came from, for error messages.

        Raises:
            WeightsError: If ``model`` is no sentencepiece model with an end-of-sequence token.
        """
        from sentencepiece import SentencePieceProcessor

        def damaged(reason: str) -> WeightsError:
            return WeightsError(
                f"{source}: {len(model)} bytes that are no sentencepiece model ({reason}); "
                "download the file again"
            )

        self._source = source
        self._processor = SentencePieceProcessor()
        with library_border(damaged):
            self._processor.LoadFromSerializedProto(model)
            self.eos_id: int = self._processor.eos_id()
            # What is damaged inside shows when it is used.
            self._processor.EncodeAsIds("a")
        if self.eos_id < 0:
            raise WeightsError(f"{source}: the vocabulary has no end-of-sequence token")
        self._repair: Callable[[str], str] | None = None

    @classmethod
    def from_file(cls, path: Path) -> Tokenizer:
        """Read a ``spiece.model`` file.

        Raises:
            WeightsError: If it cannot be read, or is none.
        """

        def unreadable(reason: str) -> WeightsError:
            return WeightsError(f"{path}: no tokenizer that can be read ({reason}); download it")

        with library_border(unreadable), path.open("rb") as file:
            model = file.read(_MAX_BYTES + 1)
        if len(model) > _MAX_BYTES:
            raise unreadable(f"more than {_MAX_BYTES} bytes")
        return cls(model, str(path))

    @classmethod
    def from_tensor(cls, model: Tensor, source: str = "tokenizer") -> Tokenizer:
        """Read the ``spiece_model`` tensor, ``(bytes,)`` uint8, of a repackaged file.

        Raises:
            WeightsError: If it holds something else.
        """
        if model.dtype != torch.uint8 or model.numel() > _MAX_BYTES:
            raise WeightsError(
                f"{source}: its tokenizer is {model.numel()} values of {model.dtype} instead of "
                f"at most {_MAX_BYTES} bytes; download the file again"
            )
        return cls(model.numpy().tobytes(), source)

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return int(self._processor.vocab_size())

    def __call__(self, text: str, max_len: int = 512) -> tuple[Tensor, Tensor]:
        """Tokenize ``text``.

        Args:
            text: Any text; what does not fit is cut, the end of sequence stays.
            max_len: Length of the result.

        Returns:
            Ids and mask, each ``(1, max_len)`` int64; padding has id 0 and mask 0.

        Source: SoulX-FlashTalk ``HuggingfaceTokenizer`` @ 688982e.
        """
        tokens = self._encode(self.clean(text))
        ids = [*tokens[: max_len - 1], self.eos_id]
        padding = [0] * (max_len - len(ids))
        mask = [1] * len(ids) + padding
        return torch.tensor([ids + padding]), torch.tensor([mask])

    def _encode(self, text: str) -> list[int]:
        def broken(reason: str) -> WeightsError:
            return WeightsError(
                f"{self._source}: its vocabulary cannot encode a prompt ({reason}); download the "
                "file again"
            )

        with library_border(broken):
            return list(self._processor.EncodeAsIds(text))

    def clean(self, text: str) -> str:
        """Repair broken Unicode, resolve HTML entities twice, collapse white space."""
        return " ".join(html.unescape(html.unescape(self._repaired(text))).split())

    def _repaired(self, text: str) -> str:
        if text.isascii() and text.isprintable() and "&" not in text:
            return text  # as ftfy would, whose import takes longer than an encoding
        if self._repair is None:
            self._repair = _text_repair()
        return self._repair(text)


def _text_repair() -> Callable[[str], str]:
    try:
        import ftfy
    except ImportError:
        _LOG.warning(
            "wrongly decoded characters in prompts stay as they are: %s", missing_package("ftfy")
        )
        return str
    return ftfy.fix_text
