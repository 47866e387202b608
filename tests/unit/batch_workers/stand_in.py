"""A process of a batch that renders nothing: what it does is in the prompt of each row.

``python -m tests.unit.batch_workers.stand_in LIMIT`` speaks as the real one does.
"""

import json
import os
import signal
import sys
import time


def say(**report):
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


def write(seconds):
    say(is_working=False)
    time.sleep(float(seconds))


def talk(seconds):
    end_s = time.monotonic() + float(seconds)
    while time.monotonic() < end_s:
        say(is_working=True)
        say(frames=1)
        time.sleep(0.02)


ACTS = {
    "step": lambda _: say(is_working=True),
    "write": write,
    "talk": talk,
    "wait": lambda seconds: time.sleep(float(seconds)),
    "resume": lambda count: say(resumed=int(count)),
    "warn": lambda text: say(warning=text),
    "die": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "fail": lambda _: sys.exit(3),
}
"""What each word of a prompt does, with what follows its colon."""


def act(prompt):
    for word in prompt.split():
        name, _, text = word.partition(":")
        ACTS[name](text)


for line in sys.stdin:
    number, spec = (json.loads(line)[key] for key in ("number", "spec"))
    sys.stderr.write(f"row {number}\n")
    act(json.loads(spec)["prompt"])
    say(frames=10, resumed=4, is_working=False, status="done", seconds=2.0)
