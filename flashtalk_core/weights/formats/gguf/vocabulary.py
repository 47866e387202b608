"""The vocabulary in a GGUF file's header, as the sentencepiece model that it was made of.

Source: ``sentencepiece_model.proto`` of sentencepiece; the keys of llama.cpp's converter for T5.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

from ....excerpt import excerpt
from .fields import Value

_PREFIX = "tokenizer.ggml."
_KIND = "t5"
_UNIGRAM = 1
_NORMAL, _LAST_TYPE = 1, 6
_WHOLE, _BYTES, _FLOAT = 0, 2, 5
"""How fields of a message are written."""


def num_tokens(values: Mapping[str, Value]) -> int:
    """Return how many tokens a header has; 0 without a vocabulary of sentencepiece."""
    tokens = values.get(f"{_PREFIX}tokens")
    is_known = values.get(f"{_PREFIX}model") == _KIND
    return len(tokens) if is_known and isinstance(tokens, tuple) else 0


def sentencepiece_model(values: Mapping[str, Value]) -> bytes:
    """Return the content of a ``spiece.model``.

    Args:
        values: Of the header, with a vocabulary; see :func:`num_tokens`.

    Raises:
        ValueError: If lists of the vocabulary are missing or of other lengths.
    """
    found = {
        name.removeprefix(_PREFIX): value
        for name, value in values.items()
        if name.startswith(_PREFIX)
    }
    tokens = found["tokens"]
    scores = _numbers(found, "scores", len(tokens))
    types = _numbers(found, "token_type", len(tokens))
    content = bytearray()
    for token, score, kind in zip(tokens, scores, types, strict=True):
        kind = int(kind) if _NORMAL <= kind <= _LAST_TYPE else _NORMAL
        piece = _field(1, str(token).encode()) + _tag(2, _FLOAT) + struct.pack("<f", score)
        content += _field(1, piece + _field(3, kind))
    content += _field(2, b"".join(_training(found, len(tokens))))
    content += _field(3, b"".join(_normalization(found)))
    return bytes(content)


def _numbers(found: Mapping[str, Value], name: str, count: int) -> Sequence[float]:
    values = found.get(name)
    if not isinstance(values, tuple) or len(values) != count:
        raise ValueError(f"its vocabulary of {count} tokens has {name} {excerpt(values)}")
    return values


def _training(found: Mapping[str, Value], count: int) -> Iterator[bytes]:
    yield _field(3, _UNIGRAM)
    yield _field(4, count)
    for number, name in ((40, "unknown"), (41, "bos"), (42, "eos"), (43, "padding")):
        token = found.get(f"{name}_token_id")
        yield _field(number, token if isinstance(token, int) and 0 <= token < count else -1)


def _normalization(found: Mapping[str, Value]) -> Iterator[bytes]:
    characters = found.get("precompiled_charsmap")
    if isinstance(characters, bytes):
        yield _field(2, characters)
    for number, name in ((3, "add_space_prefix"), (4, "remove_extra_whitespaces")):
        yield _field(number, int(bool(found.get(name, True))))


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        # Negative numbers are written as those of 64 bits.
        return _tag(number, _WHOLE) + _varint(value % 2**64)
    return _tag(number, _BYTES) + _varint(len(value)) + value


def _tag(number: int, form: int) -> bytes:
    return _varint(number << 3 | form)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value >= 128:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)
