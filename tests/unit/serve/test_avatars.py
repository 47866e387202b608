"""Portraits that are kept ready: those in use stay, whatever else is asked for."""

from contextlib import contextmanager

import pytest

from flashtalk_core.engine.spec import PlacementSpec, RenderSpec, SamplingSpec
from flashtalk_core.live.decide import Policy
from flashtalk_core.live.plan import plan_live
from flashtalk_core.serve.avatars import Avatars
from tests.unit.serve.lamp import EXAMPLE, SIZE_PX, Lamp

pytestmark = pytest.mark.cpu

POLICY = Policy(idle="still")


class LampEngine:
    """Renders by lamps, and notes whose were closed."""

    def __init__(self):
        self.closed = []

    @contextmanager
    def open(self, plan, audio, events):
        yield Lamp(plan.chunk, audio, 0.0)
        self.closed.append(plan.request.prompt)


def test_a_portrait_in_use_is_not_closed_for_others(monkeypatch):
    monkeypatch.setattr("flashtalk_core.serve.avatars.MAX_AVATARS", 2)
    spec = RenderSpec(
        portrait=str(EXAMPLE / "portrait.png"),
        size_px=SIZE_PX,
        sampling=SamplingSpec(steps=1),
        placement=PlacementSpec(device="cpu"),
    )
    engine = LampEngine()
    avatars = Avatars(plan_live(spec), engine)

    def plan(number):
        return avatars.plan(prompt=f"person {number}")

    def prepare(numbers):
        for number in numbers:
            avatars.prepare(plan(number), POLICY)

    avatars.hold("a session", plan(0), POLICY)
    prepare(range(4))
    assert engine.closed == ["person 1", "person 2"]
    assert avatars.find(plan(0), POLICY) is not None
    avatars.leave("a session")
    prepare([4])
    assert engine.closed[2:] == ["person 0"] or engine.closed[2:] == ["person 3"]
    for number in range(5, 8):  # more at a time than are kept without a user
        avatars.hold(number, plan(number), POLICY)
        avatars.prepare(plan(number), POLICY)
    assert len(avatars) == 3
    avatars.close()
