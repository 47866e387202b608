"""A FlashTalk server for the tests: the real one, with a lamp in the place of the networks."""

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
START_S = 120


@contextmanager
def lamp_server(*options):
    """Run a server in a process of its own; yields its address, and the process."""
    python = os.environ.get("FLASHTALK_PYTHON")
    if not python:
        raise pytest.UsageError(
            "set FLASHTALK_PYTHON to a Python that has FlashTalk's requirements; .ci/integrations "
            "does all that is needed"
        )
    process = subprocess.Popen(
        [python, HERE / "lamp_server.py", *options],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"the lamp server ended with {process.wait()}")
        yield url, process
    finally:
        process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@pytest.fixture(scope="session")
def server():
    """Address of a server whose chunks take a fifth of their length."""
    with lamp_server("--sessions", "32") as (url, _):
        yield url


@pytest.fixture(scope="session")
def run_server():
    """Run another server, with other options."""
    return lamp_server


@pytest.fixture(scope="session")
def tone():
    """Return sound, s16le mono: ``tone(seconds, rate=24000, level=0.5)``."""

    def make(seconds, rate=24_000, level=0.5):
        times_s = np.arange(round(seconds * rate)) / rate
        return (level * 32767 * np.sin(2 * np.pi * 440 * times_s)).astype("<i2").tobytes()

    return make
