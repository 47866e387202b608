import pytest

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.parallel.bands import Band, VaeGrid, check_grid, choose_grid

pytestmark = pytest.mark.cpu


def shape(text, size_px, num_ranks):
    return str(choose_grid(text, size_px, num_ranks))


@pytest.mark.parametrize(
    ("text", "num_ranks", "expected"),
    [
        ("rows", 4, "4x1"),
        ("columns", 4, "1x4"),
        ("2x4", 8, "2x4"),
        ("2x2", 8, "2x2"),
        ("1x1", 8, "1x1"),
        ("auto", 1, "1x1"),
    ],
)
def test_a_user_names_the_grid(text, num_ranks, expected):
    assert shape(text, (448, 768), num_ranks) == expected


def test_whole_cells_are_shared_evenly():
    grid = choose_grid("3x2", (416, 720), 6)
    assert grid == VaeGrid((18, 17, 17), (45, 45))
    assert grid.cells == (52, 90)
    assert grid.bands[3] == Band(range(18, 35), range(45, 90))
    assert grid.bands[3].pixels(8) == (slice(144, 280), slice(360, 720))


@pytest.mark.parametrize(
    ("text", "size_px", "num_ranks", "expected"),
    [("rows", (40, 48), 8, "2x1"), ("4x2", (32, 48), 8, "2x2"), ("columns", (48, 32), 3, "1x2")],
)
def test_bands_have_two_cells_or_are_fewer(text, size_px, num_ranks, expected):
    assert shape(text, size_px, num_ranks) == expected


@pytest.mark.parametrize("num_ranks", range(1, 9))
@pytest.mark.parametrize("size_px", [(448, 768), (416, 720), (768, 448), (512, 512)])
def test_the_quickest_grid_leaves_few_ranks_without_work(size_px, num_ranks):
    grid = choose_grid("auto", size_px, num_ranks)
    cells = size_px[0] // 8 * (size_px[1] // 8)
    assert grid.size <= num_ranks
    assert max(band.num_cells for band in grid.bands) <= 1.1 * cells / num_ranks


def test_a_long_side_is_cut_before_a_short_one():
    assert shape("auto", (128, 1024), 4) == "1x4"
    assert shape("auto", (1024, 128), 4) == "4x1"


def test_neighbours_are_those_that_touch():
    grid = VaeGrid((2, 2), (2, 2, 2))
    assert grid.neighbours(0) == ((None, 3), (None, 1))
    assert grid.neighbours(4) == ((1, None), (3, 5))
    assert VaeGrid((5,), (3,)).neighbours(0) == ((None, None), (None, None))


@pytest.mark.parametrize("text", ["", "square", "2", "2x", "0x2", "2x2x2", "-1x2", "2 x 2"])
def test_what_is_no_grid_is_refused(text):
    with pytest.raises(InvalidInputError, match="use 'auto', 'rows', 'columns'") as caught:
        check_grid(text)
    assert caught.value.subject == "vae_grid"


def test_more_bands_than_devices_are_refused():
    message = r"^VAE grid 2x4: its 8 bands need as many devices, and there are 4; use 'auto'"
    with pytest.raises(InvalidInputError, match=message):
        choose_grid("2x4", (448, 768), 4)
