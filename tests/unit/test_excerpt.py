"""Long values in a few words."""

import pytest

from flashtalk_core.excerpt import excerpt, first_line, format_size

pytestmark = pytest.mark.cpu


def test_short_text_is_not_shortened():
    assert excerpt("a/path.safetensors") == "a/path.safetensors"
    assert excerpt(12) == "12"


def test_the_middle_of_what_is_long_is_left_out():
    assert excerpt("0123456789" * 10, 13) == "01234...56789"


@pytest.mark.parametrize("limit", [9, 10, 60])
def test_an_excerpt_has_at_most_the_given_length(limit):
    assert len(excerpt("x" * 1000, limit)) == limit
    assert len(excerpt("x" * limit, limit)) == limit


def test_an_excerpt_is_one_line():
    assert excerpt("a\nb\x00c\u2028d") == "a b c d"
    assert excerpt("a\n" * 100).isprintable()


def test_the_first_line_is_whole_and_without_space_around_it():
    assert first_line(RuntimeError(f"\n {'x' * 1000}\r\nadvice")) == "x" * 1000
    assert first_line(ValueError()) == ""


@pytest.mark.parametrize(
    ("num_bytes", "said"),
    [(300, "0.3 kB"), (999_000, "999.0 kB"), (8_200_000, "8.2 MB"), (35_000_000_000, "35.0 GB")],
)
def test_a_size_has_the_unit_that_fits(num_bytes, said):
    assert format_size(num_bytes) == said
