"""Damaged inputs made of valid ones.

A run is decided by its seed: the same cases come in the same order on every machine.
"""

import json
import os
import random
from contextlib import suppress

CASES = int(os.environ.get("FUZZ_CASES", "0"))
"""Cases of every harness; 0 leaves each its own number."""
SEED = int(os.environ.get("FUZZ_SEED", "1"))

NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
VALUES = (
    None, True, False, 0, 1, -1, 2, 7, 128, 65_537, 2**31, 2**53, 2**63, 2**64, 10**400, 0.0, -0.5,
    1e-30, 1e308, float("nan"), float("inf"), -float("inf"), "", "0", "a", "a" * 5000, "\ud800",
    "\x1b[2J", "../a", "../../../etc/passwd", "/etc/passwd", "~root/a", "a\0b",
    [], [0], [1, 2, 3], [None], ["a"], [[1]], {}, {"a": 1},
)  # fmt: skip
FIELDS = (
    b"", b"0", b"-1", b"1e308", b"nan", b"inf", b"9" * 5000, b"a" * 5000, b"\xff\xfe", b"\0", b'"',
    b"'", b"../../etc/passwd", b"/etc/passwd", b"~root/x", b"C:\\x", b"NUL", b"\xe2\x80\xae",
    b"\x1b[2J", b"true", b"[]", b"{}", b"[" * 400, b"=cmd|' /C calc'!A0", b"file:///etc/passwd",
)  # fmt: skip
"""What a field of a text may hold."""


def mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    """Return one of ``seeds`` with one damage, or up to eight."""
    data = bytearray(rng.choice(seeds))
    for _ in range(min(8, 1 + int(rng.expovariate(0.9)))):
        _damage(rng, data, seeds)
    return bytes(data)


def _damage(rng: random.Random, data: bytearray, seeds: list[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    length = min(len(data) - at, rng.choice((1, 2, 4, 8, 16, 64, 1024)))
    kind = rng.randrange(8)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[at : at + length] = rng.randbytes(length)
    elif kind == 2:
        del data[at : at + length]
    elif kind == 3:
        data[at:at] = data[at : at + length]
    elif kind == 4:
        width = rng.choice((1, 2, 4, 8))
        number = rng.choice(NUMBERS) % 256**width
        data[at : at + width] = number.to_bytes(width, rng.choice(("little", "big")))
    elif kind == 5 and rng.random() < 0.3:
        del data[at:]
    elif kind == 6:
        other = rng.choice(seeds)
        start = rng.randrange(len(other) + 1)
        data[at : at + length] = other[start : start + length]
    else:
        data[at:at] = rng.randbytes(rng.randint(1, 8))


def mutated_value(rng: random.Random, value):
    """Return a value of JSON in which one to three places are others."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = _changed(rng, value)
    return value


def _changed(rng, value):
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        kind = rng.random()
        if kind < 0.1:
            return {name: each for name, each in value.items() if name != key}
        if kind < 0.15:
            return value | {rng.choice(("a", "", "\ud800", "a" * 300)): value[key]}
        return value | {key: _changed(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        kind = rng.random()
        if kind < 0.2:
            return value[:at] + value[at + 1 :]
        if kind < 0.4:
            return value + value[at:]
        return [*value[:at], _changed(rng, value[at]), *value[at + 1 :]]
    if type(value) in (int, float) and abs(value) < 2**64 and rng.random() < 0.4:
        return rng.choice((value + 1, value - 1, -value, 2 * value, value * 1000, float(value)))
    if rng.random() < 0.02:
        return _nested(rng.choice((20, 40, 400)))
    return rng.choice(VALUES)


def _nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def changed_json(rng: random.Random, seeds: list[bytes]) -> bytes:
    """Return JSON in which values are others, or with damaged bytes."""
    return _changed_text(rng, seeds, mutated_value)


def changed_safetensors(rng: random.Random, seeds: list[bytes]) -> bytes:
    """Return a safetensors file with damaged bytes, or with a header of other values."""
    content = rng.choice(seeds)
    header, data = split_safetensors(content)
    if header is not None and rng.random() < 0.5:
        with suppress(RecursionError):
            return join_safetensors(mutated_value(rng, header), data)
    return mutated(rng, [content, *seeds])


def split_safetensors(content: bytes):
    """Return header and data; no header where there is none."""
    end = 8 + int.from_bytes(content[:8], "little")
    try:
        return json.loads(content[8:end]), content[end:]
    except (ValueError, RecursionError):
        return None, content


def join_safetensors(header, data: bytes) -> bytes:
    """Return a safetensors file; what the header says is not looked at."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def changed_lines(rng: random.Random, seeds: list[bytes]) -> bytes:
    """Return lines (CSV, JSONL, TOML) in other order, of other fields, or with damaged bytes."""
    if rng.random() < 0.4:
        return mutated(rng, seeds)
    lines = rng.choice(seeds).splitlines(keepends=True) or [b""]
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(len(lines))
        kind = rng.randrange(4)
        if kind == 0:
            lines.insert(at, rng.choice(rng.choice(seeds).splitlines(keepends=True) or [b"\n"]))
        elif kind == 1 and len(lines) > 1:
            del lines[at]
        elif lines[at].lstrip().startswith(b"{"):
            lines[at] = changed_json(rng, [lines[at].strip()]) + b"\n"
        else:
            lines[at] = _with_other_field(rng, lines[at])
    return b"".join(lines)


def _with_other_field(rng, line):
    mark = rng.choice([each for each in (b",", b"=", b":", b" ") if each in line] or [b"\n"])
    parts = line.split(mark)
    parts[rng.randrange(len(parts))] = rng.choice(FIELDS)
    return mark.join(parts)


def _changed_text(rng, seeds, change):
    text = rng.choice(seeds)
    if rng.random() < 0.8:
        try:
            return json.dumps(change(rng, json.loads(text))).encode()
        except (ValueError, RecursionError):
            pass  # it was damaged before
    return mutated(rng, [text, *seeds])


def cases(usual, make, seed=SEED):
    """Yield ``usual`` cases, or as many as asked for, each from its own seed."""
    for number in range(CASES or usual):
        yield make(random.Random(f"{seed} {number}"))
