"""Every way to divide a render among processes gives what one process gives.

With the autoencoder's own decoder, whose layers run in bands; the small one is run whole.
"""

from dataclasses import replace

import pytest

from flashtalk_core.engine.events import EventHandlers
from flashtalk_core.errors import InvalidInputError
from tests.own_decoder import write_model

from .conftest import render

pytestmark = pytest.mark.ranks


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(write_model(tmp_path_factory.mktemp("own") / "model"))


@pytest.mark.parametrize(
    "division",
    [{"ring": 2}, {}, {"vae_grid": "1x2"}, {"vae_devices": (1,)}],
    ids=["ring", "ulysses", "columns", "decoded by one"],
)
def test_each_division_renders_what_one_process_does(fleet, plan, by_one, division):
    assert not plan.checkpoint.config.vae.light_widths
    loaded = []
    reads = not fleet.is_running
    divided = replace(plan, placement=replace(plan.placement, **division))
    frames = render(divided, fleet, EventHandlers(loading=loaded.append))
    difference = (frames.int() - by_one.int()).abs()
    assert difference.max() <= 1  # sums in another order, rounded to whole levels
    assert bool(loaded) == reads, "weights that were read serve every division"


def test_an_exchange_that_the_processes_lack_is_one_error_and_they_stay(fleet, plan, by_one):
    lacking = replace(plan, placement=replace(plan.placement, exchange="xfuser"))
    with pytest.raises(InvalidInputError, match=r"^exchange 'xfuser': .* use exchange 'collect"):
        render(lacking, fleet)
    assert fleet.is_running
    assert (render(plan, fleet).int() - by_one.int()).abs().max() <= 1
