"""Each utterance leaves the book once, whatever becomes of its connection."""

from flashtalk_client.book import Book
from flashtalk_client.items import Played


def test_numbers_are_the_clients_after_another_session():
    book = Book()
    assert [book.begin(), book.begin()] == [1, 2]
    assert book.over(1) == 1
    book.heard(0.5)
    assert book.restart() == [Played(2, 0.5, interrupted=True)]
    assert book.is_empty
    assert book.begin() == 3
    assert book.over(1) == 3


def test_what_the_server_never_heard_of_is_reported_and_its_number_taken_by_the_next():
    book = Book()
    for _ in range(3):
        book.begin()
    assert book.resume(2) == [Played(3, 0.0, interrupted=True)]
    assert book.begin() == 4
    assert [book.over(number) for number in (1, 2, 3)] == [1, 2, 4]


def test_an_utterance_of_somebody_else_is_nobodys():
    book = Book()
    assert book.over(1) is None
    assert book.speaking(1, 0.0) is None


def test_sound_that_waits_is_counted_from_frames_or_from_the_time():
    book = Book()
    book.begin()
    book.sent(10.0)
    assert book.ahead_s() == book.ahead_s(100.0) == 10.0
    book.speaking(1, 100.0)
    book.heard(1.0)
    assert book.ahead_s() == 9.0
    assert book.ahead_s(104.0) == 6.0
    book.begin()
    book.sent(2.0)
    assert book.ahead_s(200.0) == 2.0
