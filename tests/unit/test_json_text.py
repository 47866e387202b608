"""JSON from outside."""

import pytest

from flashtalk_core.json_text import MAX_DEPTH, parse_json

pytestmark = pytest.mark.cpu


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"\xff\xfe{}", "codec can't decode"),
        ("[" * 100_000, f"nested more than {MAX_DEPTH} deep"),
        ('{"a":' * 100_000, f"nested more than {MAX_DEPTH} deep"),
        ("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), f"nested more than {MAX_DEPTH} deep"),
        ('{"a": {"b": 1, "c": 2, "b": 3}}', "key 'b' is there twice"),
        ("1" * 5000, "4300 digits"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_other_json_is_refused(text, said):
    with pytest.raises(ValueError, match=said) as caught:
        parse_json(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_json_with_a_byte_order_mark_is_read():
    assert parse_json(b"\xef\xbb\xbf" + b'{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert parse_json(deep) is not None


def test_a_key_that_stands_there_twice_is_found_at_once_among_many():
    keys = ", ".join(f'"{number}": 0' for number in range(50_000))
    with pytest.raises(ValueError, match="key '7' is there twice"):
        parse_json(f'{{{keys}, "7": 1}}')
