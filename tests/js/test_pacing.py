"""When the player plays, waits, jumps and catches up."""

import pytest

from .run_node import run_module

pytestmark = pytest.mark.browser


def situation(time, ranges, **more):
    """Return what the pacing is asked about."""
    state = {"isOver": False, "isWaiting": False, "hasMoved": True, "isFollowing": True}
    return {"time": time, "ranges": ranges, "isHeld": False, "isFast": False} | state | more


SITUATIONS = [
    # A conversation starts with little, and goes on with little.
    ("LIVE", situation(0, [[0, 0.1]], isWaiting=True, hasMoved=False), {"isWaiting": True}),
    ("LIVE", situation(0, [[0, 0.16]], isWaiting=True, hasMoved=False), {"isWaiting": False}),
    ("LIVE", situation(5, [[0, 5.16]], isWaiting=True), {"isWaiting": False, "seek": None}),
    ("LIVE", situation(5, [[0, 5.01]]), {"isWaiting": True}),
    # It catches up by its speed, until it has; by a jump where it is far behind, or stands.
    ("LIVE", situation(5, [[0, 5.2]]), {"isFast": False, "seek": None}),
    ("LIVE", situation(5, [[0, 5.3]]), {"isFast": True, "seek": None}),
    ("LIVE", situation(5, [[0, 5.2]], isFast=True), {"isFast": True}),
    ("LIVE", situation(5, [[0, 5.14]], isFast=True), {"isFast": False}),
    ("LIVE", situation(5, [[0, 5.6]]), {"seek": 5.45, "isWaiting": False}),
    ("LIVE", situation(5, [[0, 5.4]], isWaiting=True), {"seek": 5.25, "isWaiting": False}),
    ("LIVE", situation(5, [[0, 4], [6, 9]]), {"seek": 8.85}),
    # A render is seen whole, at its own speed.
    ("RENDER", situation(5, [[0, 25]], isFollowing=False), {"isFast": False, "seek": None}),
    ("RENDER", situation(5, [[0, 5.9]], isWaiting=True), {"isWaiting": True}),
    ("RENDER", situation(5, [[0, 9]]), {"isFast": False, "seek": 8}),
]


def test_a_conversation_is_followed_closely_and_a_render_is_not():
    seen = run_module(
        "import { LIVE, RENDER, decide } from 'lib/pacing.js'\n"
        "const steps = given.map(([name, now]) => decide(now, { LIVE, RENDER }[name]))\n"
        "console.log(JSON.stringify(steps))",
        [[pacing, now] for pacing, now, _ in SITUATIONS],
    )
    for step, (pacing, now, expected) in zip(seen, SITUATIONS, strict=True):
        if step["seek"] is not None:
            step["seek"] = round(step["seek"], 3)
        assert {name: step[name] for name in expected} == expected, (pacing, now)
