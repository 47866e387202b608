"""Nothing is forked while other threads run."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.faults.threads import thread_names, wait_until_alone

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="threads are counted by /proc"),
]

# In a process of its own: the one of the tests may have threads of anything.
ALONE = """
import threading, time
from tests.faults.threads import wait_until_alone
threading.Timer(0.3, lambda: None).start()
wait_until_alone(30)
assert threading.active_count() == 1
print("alone")
"""


RENDERED = """
import gc
gc.disable()
import tests.faults.preloaded
from tests.faults.threads import thread_names
print(len(thread_names()))
"""


def said_by(code):
    command, root = [sys.executable, "-c", code], Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def test_threads_that_end_are_waited_for():
    assert said_by(ALONE) == "alone"


def test_a_thread_that_stays_is_an_error_that_names_the_remedy():
    stays = threading.Event()
    thread = threading.Thread(target=stays.wait)
    thread.start()
    try:
        assert len(thread_names()) >= 2
        with pytest.raises(RuntimeError, match=r"threads run after 0.05 s .*OMP_NUM_THREADS=1"):
            wait_until_alone(0.05)
    finally:
        stays.set()
        thread.join()


def test_threads_of_a_render_end_with_it_before_memory_is_tidied_up():
    assert said_by(RENDERED) == "1"
