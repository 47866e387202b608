"""The wrapper of xfuser: when it refuses, and how it makes the documented call.

xfuser needs a GPU and is not installed here: a stand-in takes its place, so this shows what is
called and with what, not that xfuser computes the right thing.
"""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.models.attention import sdpa
from flashtalk_core.parallel.collectives import Alone
from flashtalk_core.parallel.groups import SequenceGroups
from flashtalk_core.parallel.sequence import spread_transformer
from flashtalk_core.parallel.xfuser_attention import XfuserAttention, with_process_groups
from tests.unit.parallel.toy_transformer import make_transformer

pytestmark = pytest.mark.cpu


class World:
    """Ranks that know their number and exchange nothing."""

    recordable = True

    def __init__(self, size, name):
        self.rank, self.size, self.process_group = 0, size, name

    def subgroup(self, groups):
        return World(len(groups[0]), f"alone of {len(groups)}")


def groups_of(ulysses, ring):
    """Return groups that know their sizes and exchange nothing."""
    world = World(ulysses * ring, "all")
    first = World(ulysses, "ulysses") if ulysses > 1 else Alone()
    return SequenceGroups(world, first, World(ring, "ring") if ring > 1 else Alone())


@pytest.fixture
def stand_in(monkeypatch):
    """Put modules in the place of xfuser's that note how they are called."""
    calls = []
    process_group = SimpleNamespace(ULYSSES_PG=None, RING_PG=None)

    class Attention:
        def __init__(self, **options):
            self.options = options
            calls.append((process_group.ULYSSES_PG, process_group.RING_PG))

        def __call__(self, attn, *, query, key, value):
            assert attn is None
            out, lse = self.options["attn_processor"](
                query, key, value, dropout_p=0.0, softmax_scale=None, causal=False,
                window_size=(-1, -1), softcap=0.0, alibi_slopes=None, return_softmax=False,
            )  # fmt: skip
            calls.append(lse.shape)
            return out

    globals_ = ModuleType("yunchang.globals")
    globals_.PROCESS_GROUP = process_group
    attention = ModuleType("xfuser.core.long_ctx_attention")
    attention.xFuserLongContextAttention = Attention
    core, package = ModuleType("xfuser.core"), ModuleType("xfuser")
    package.__spec__ = SimpleNamespace(name="xfuser")
    for module in (package, core, attention, ModuleType("yunchang"), globals_):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


def test_without_xfuser_the_error_names_a_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "xfuser", None)
    with pytest.raises(
        InvalidInputError, match=r"pip install xfuser==0\.4\.5`, or use exchange 'coll"
    ):
        XfuserAttention(groups_of(2, 1), lambda: (4, 4), sdpa, 6)


def test_a_broken_xfuser_is_an_error_of_one_line(monkeypatch):
    package = ModuleType("xfuser")
    package.__spec__ = SimpleNamespace(name="xfuser")
    monkeypatch.setitem(sys.modules, "xfuser", package)
    with pytest.raises(
        InvalidInputError, match=r"cannot be used \(.*xfuser.*\); install xfuser==0"
    ):
        XfuserAttention(groups_of(2, 1), lambda: (4, 4), sdpa, 6)


def test_a_part_that_xfuser_imports_late_and_lacks_is_the_same_error(stand_in, monkeypatch):
    def fail(**_):
        raise ImportError("cannot import name 'update_npu_out' from 'yunchang.ring.utils'")

    module = sys.modules["xfuser.core.long_ctx_attention"]
    monkeypatch.setattr(module, "xFuserLongContextAttention", fail)
    with pytest.raises(InvalidInputError, match=r"cannot be used \(.*update_npu_out.*\); install"):
        XfuserAttention(with_process_groups(groups_of(2, 1)), lambda: (4, 4), sdpa, 6)


def test_what_xfuser_cannot_divide_is_refused(stand_in):
    with pytest.raises(InvalidInputError, match="6 heads do not divide by ulysses 4; use exch"):
        XfuserAttention(groups_of(4, 1), lambda: (4,) * 4, sdpa, 6)
    groups = with_process_groups(groups_of(2, 1))
    attention = XfuserAttention(groups, lambda: (8, 7), sdpa, 6)
    with pytest.raises(InvalidInputError, match="gives its 2 ranks 7 to 8 tokens"):
        attention(*torch.zeros(3, 1, 8, 6, 16))


@pytest.mark.parametrize(
    ("degrees", "names"),
    [((2, 2), ("ulysses", "ring")), ((1, 4), ("alone of 4", "ring")),
     ((3, 1), ("ulysses", "alone of 3"))],
)  # fmt: skip
def test_xfuser_gets_our_groups_and_our_kernel(stand_in, degrees, names):
    dit = make_transformer()
    spread_transformer(dit, groups_of(*degrees), exchange="xfuser")
    assert stand_in == [names] * len(dit.blocks)
    assert not dit.layout.recordable
    attention = dit.blocks[1].self_attn.attention
    assert attention.local is sdpa
    dit.layout.lengths = (5,) * degrees[0] * degrees[1]
    q, k, v = torch.randn(3, 1, 5, 6, 16)
    torch.testing.assert_close(attention(q, k, v), sdpa(q, k, v))
    assert stand_in[-1] == (1, 6, 5)
