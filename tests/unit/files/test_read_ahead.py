"""Files are read before their turn, in order, and no more of them than there is room for."""

import time

import pytest

from flashtalk_core.files import read_ahead
from flashtalk_core.files.read_ahead import ReadAhead, can_read_ahead, drop_from_cache, room_bytes

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(not can_read_ahead(), reason="only Linux has what it takes"),
]


@pytest.fixture
def files(tmp_path):
    found = [tmp_path / name for name in ("a", "b", "c")]
    for path, size in zip(found, (9_000_000, 0, 5_000_000), strict=True):
        path.write_bytes(b"x" * size)
    return found


def test_all_of_all_files_is_read(files):
    reading = ReadAhead(files)
    reading.start()
    reading.wait()
    assert reading.num_bytes == 14_000_000


def test_blocks_are_in_order_and_end_with_the_room(files):
    blocks = list(read_ahead._blocks(files, 10_000_000))
    assert [path.name for path, _, _ in blocks] == ["a", "a", "a", "c"]
    assert [start for _, start, _ in blocks] == [0, 4 << 20, 8 << 20, 0]
    assert sum(length for _, _, length in blocks) == 10_000_000
    assert list(read_ahead._blocks(files, 0)) == []


def test_a_file_that_is_gone_is_left_out(files):
    files[0].unlink()
    reading = ReadAhead(files)
    reading.start()
    reading.wait()
    assert reading.num_bytes == 5_000_000


def test_it_ends_on_request(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1 << 36)  # takes no room, and a minute to read
    reading = ReadAhead([path], 1 << 36)
    start_s = time.monotonic()
    reading.start()
    reading.stop()
    assert time.monotonic() - start_s < 5
    assert reading.num_bytes < 1 << 36
    drop_from_cache([path])


def test_there_is_room_for_half_of_what_may_be_taken():
    assert 0 < room_bytes() < 1 << 50
