"""Where networks are while they work, and while they do not."""

import gc
import weakref

import pytest
import torch

from flashtalk_core.config import FastPaths
from flashtalk_core.engine.residency import Placement, Resident, StayLoaded
from flashtalk_core.models.audio_encoder import AudioEncoder
from flashtalk_core.models.clip_vision import ClipVision
from flashtalk_core.models.dit import AvatarDiT
from flashtalk_core.models.fused_block import FusedBlock
from flashtalk_core.models.vae.fused import FusedRunner
from flashtalk_core.models.vae.model import VideoVAE

pytestmark = pytest.mark.cpu

CPU, META = torch.device("cpu"), torch.device("meta")


def test_everything_runs_in_one_place_unless_the_autoencoder_has_its_own():
    together, apart = Placement(CPU, torch.float32), Placement(CPU, torch.float32, META)
    assert {together.device_of(kind) for kind in (AvatarDiT, VideoVAE, ClipVision)} == {CPU}
    assert apart.device_of(VideoVAE) == META
    assert {apart.device_of(kind) for kind in (AvatarDiT, AudioEncoder, ClipVision)} == {CPU}


def test_a_network_is_read_when_it_is_first_used_and_once(checkpoint):
    networks = StayLoaded(checkpoint, Placement(CPU, torch.float32))
    with networks.use(ClipVision) as first:
        assert isinstance(first, ClipVision)
        assert not first.training
    with networks.use(ClipVision) as second:
        assert second is first


def test_a_network_that_was_freed_is_gone_and_comes_back(checkpoint):
    networks = StayLoaded(checkpoint, Placement(CPU, torch.float32))
    networks.free(ClipVision)  # nothing there yet
    with networks.use(ClipVision) as lent:
        weights = next(lent.parameters()).clone()
    gone = weakref.ref(lent)
    del lent
    networks.free(ClipVision)
    gc.collect()
    assert gone() is None
    with networks.use(ClipVision) as lent:
        assert torch.equal(next(lent.parameters()), weights)


def test_the_autoencoder_comes_in_the_number_format_that_was_asked_for(checkpoint):
    networks = StayLoaded(checkpoint, Placement(CPU, torch.bfloat16))
    with networks.use(VideoVAE) as vae:
        assert next(vae.parameters()).dtype == torch.bfloat16


def test_networks_of_somebody_else_are_lent_and_never_freed(toy):
    networks = Resident(toy.dit, toy.vae)
    networks.free(AvatarDiT)
    with networks.use(AvatarDiT) as dit, networks.use(VideoVAE) as vae:
        assert (dit, vae) == (toy.dit, toy.vae)


def test_networks_go_the_faster_ways_from_the_first_use_on(checkpoint):
    networks = StayLoaded(checkpoint, Placement(CPU, torch.float32, paths=FastPaths()))
    with networks.use(AvatarDiT) as dit, networks.use(VideoVAE) as vae:
        found = [dit.blocks[0].fused, vae.decoder.run]
        assert isinstance(found[0], FusedBlock)
        assert isinstance(found[1], FusedRunner)
    with networks.use(AvatarDiT) as dit, networks.use(VideoVAE) as vae:
        assert [dit.blocks[0].fused, vae.decoder.run] == found, "built once"


def test_an_autoencoder_on_a_device_of_another_type_goes_the_plain_way():
    apart = Placement(META, torch.float32, CPU, FastPaths())
    assert apart.paths_of(VideoVAE) == FastPaths.none()
    assert apart.paths_of(AvatarDiT) == FastPaths()
