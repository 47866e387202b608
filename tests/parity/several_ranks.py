"""Recorded numbers of transformer and autoencoder, computed by one of several ranks."""

import torch

from flashtalk_core.parallel.banded_images import BandedImages
from flashtalk_core.parallel.bands import choose_grid
from flashtalk_core.parallel.groups import sequence_groups
from flashtalk_core.parallel.sequence import spread_transformer
from flashtalk_core.parity.bounds import Placement
from flashtalk_core.parity.golden import read_golden
from flashtalk_core.parity.networks import build_dit, build_vae, check_clips, check_velocity

GRIDS = ("rows", "columns")


@torch.no_grad()
def compare_on_rank(folder, world, device, dtype):
    """Return error and bound of every result by name; every rank makes the call."""
    place = Placement(device, dtype)
    return {
        f"{way} {result.component} {result.name}": (result.error, result.bound)
        for way, result in [*velocities(folder, world, place), *clips(folder, world, place)]
    }


def velocities(folder, world, place):
    owner = read_golden(folder, "dit")
    for way, degrees in (("ulysses", (world.size, 1)), ("ring", (1, world.size))):
        dit = build_dit(owner, place)
        spread_transformer(dit, sequence_groups(world, *degrees))
        yield way, check_velocity(owner, dit, place)
        yield way, check_velocity(read_golden(folder, "dit_two_speakers"), dit, place)


def clips(folder, world, place):
    golden = read_golden(folder, "vae")
    vae = build_vae(golden, place)
    size_px = tuple(golden["out.video"].shape[-2:])
    for text in GRIDS:
        spread = BandedImages.over(choose_grid(text, size_px, world.size), world)
        for result in check_clips(golden, vae, place, spread):
            yield text, result
