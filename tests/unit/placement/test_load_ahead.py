"""Networks that are loaded in a thread are the same, and raise where they are used."""

import threading
from dataclasses import replace

import pytest
import torch

from flashtalk_core.engine.events import EventHandlers
from flashtalk_core.errors import WeightsError
from flashtalk_core.models.encoders.audio import AudioEncoder
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.placement.ahead.loading import LoadAhead
from flashtalk_core.placement.place import Placement
from flashtalk_core.placement.residency import CachedNetworks
from flashtalk_core.weights.load import open_avatar

pytestmark = pytest.mark.cpu

PLACE = Placement(torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def checkpoint():
    return open_avatar("tiny")


def test_networks_of_a_chunk_are_loaded_while_the_portrait_is_encoded(checkpoint):
    threads = {}

    def note(kind):
        threads.setdefault(kind, threading.current_thread())

    networks = CachedNetworks(checkpoint, PLACE, EventHandlers(loading=note), reads_ahead=True)
    with networks.acquire(VideoVAE), networks.acquire(AvatarDiT) as dit:
        pass
    with networks.acquire(AudioEncoder), networks.acquire(AvatarDiT) as again:
        assert again is dit
    assert threads[VideoVAE] is threading.current_thread()
    assert threads[AvatarDiT] is threads[AudioEncoder] is not threads[VideoVAE]
    expected = checkpoint.load(AvatarDiT, PLACE.device, PLACE.dtype).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in dit.state_dict().items())


def test_nothing_is_loaded_before_it_is_wanted_otherwise(checkpoint):
    seen = set()
    networks = CachedNetworks(checkpoint, PLACE, EventHandlers(loading=seen.add))
    with networks.acquire(VideoVAE):
        assert seen == {VideoVAE}


def test_what_cannot_be_loaded_raises_where_it_is_taken(checkpoint):
    files = checkpoint.sources.dit[0]
    changed = replace(files, stamp=(0, 0))
    plan = replace(checkpoint.dit_plan, sources=((changed, checkpoint.dit_plan.sources[0][1]),))
    broken = replace(checkpoint, dit_plan=plan)
    networks = CachedNetworks(broken, PLACE, reads_ahead=True)
    with networks.acquire(VideoVAE):
        pass
    with (
        pytest.raises(WeightsError, match="changed since it was checked"),
        networks.acquire(AvatarDiT),
    ):
        pytest.fail("it was loaded")
    with networks.acquire(AudioEncoder):
        pass


def test_what_was_not_begun_is_not_there():
    assert LoadAhead(lambda _: pytest.fail("loaded")).take(AvatarDiT) is None
