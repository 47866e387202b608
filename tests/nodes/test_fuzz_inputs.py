"""What other nodes hand over, and what is typed into fields: accepted, or refused in one line."""

from math import prod
from types import SimpleNamespace

import pytest
import torch

from tests.fuzz.mutate import VALUES, cases
from tests.fuzz.trial import run

pytestmark = pytest.mark.manual

DTYPES = (
    torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.int64,
    torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn,
)  # fmt: skip
SIDES = (0, 1, 1, 2, 3, 4, 5, 16, 64)
MOST = 100_000


def tensor(rng):
    """Return a tensor of any shape and kind, or something else."""
    if rng.random() < 0.15:
        return rng.choice(VALUES)
    shape = [rng.choice(SIDES) for _ in range(rng.randint(0, 5))]
    if prod(shape) > MOST:
        shape = shape[:2]
    dtype = rng.choice(DTYPES)
    if rng.random() < 0.6:  # what is usual, for the rest to be looked at
        shape, dtype = [1, 2, 64], torch.float32
    made = torch.zeros(shape, dtype=dtype, device=rng.choice(("cpu",) * 9 + ("meta",)))
    if made.is_floating_point() and made.device.type == "cpu" and rng.random() < 0.2:
        made = made.float() + rng.choice((float("nan"), float("inf"), 1e30, -5.0))
    if made.device.type == "cpu" and dtype == torch.float32 and rng.random() < 0.05:
        made = made.to_sparse()
    return made.numpy() if made.device.type == "cpu" and dtype in DTYPES[4:7] else made


@pytest.fixture
def fuzz(pack):
    def over(name, read, number, make):
        refusals = (pack["flashtalk_core.errors"].FlashTalkError,)
        count = run(name, read, cases(number, make), refusals)
        assert not count.uncaught, str(count)

    return over


def test_audio(pack, fuzz):
    def make(rng):
        audio = {"waveform": tensor(rng), "sample_rate": rng.choice((16_000, 48_000, *VALUES))}
        if rng.random() < 0.1:
            audio.pop(rng.choice(list(audio)))
        return audio if rng.random() < 0.95 else rng.choice(VALUES)

    fuzz("AUDIO", pack["nodes.host.media"].audio_array_of, 20_000, make)


def test_conditioning(pack, fuzz):
    def make(rng):
        entries = [[tensor(rng), {}] for _ in range(rng.choice((1, 1, 1, 0, 2)))]
        kind = rng.random()
        return rng.choice(VALUES) if kind < 0.1 else tensor(rng) if kind < 0.15 else entries

    fuzz("CONDITIONING", pack["nodes.host.media"].context_of, 10_000, make)


def test_encoded_images(pack, fuzz):
    def make(rng):
        given = SimpleNamespace(penultimate_hidden_states=tensor(rng))
        return given if rng.random() < 0.9 else rng.choice(VALUES)

    fuzz("CLIP_VISION_OUTPUT", pack["nodes.host.media"].clip_tokens_of, 10_000, make)


def test_sizes(pack, fuzz):
    def make(rng):
        choice = {name: rng.choice((*(448,) * 40, *VALUES)) for name in ("size", "width", "height")}
        if rng.random() < 0.5:
            choice["size"] = "custom"
        if rng.random() < 0.2:
            choice.pop(rng.choice(list(choice)))
        return choice

    fuzz("sizes", pack["nodes.graph.sizes"].size_of, 10_000, make)
