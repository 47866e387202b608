"""One run of the command line in a process that can be damaged from inside and from outside.

It is the real command (``flashtalk_core.cli.main``). What it begins of each chunk is noted in a
file, which is how chunks that are rendered twice are counted.
"""

import json
import os
import resource
import signal
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.faults.patches import PATCHES, drop_privileges

QUICK = ("--size", "32x32", "--steps", "1")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of one run; plain data."""

    arguments: tuple[str, ...] = ()
    trace: str = ""
    """File that gets a line for each chunk that is begun."""
    stderr: str = ""
    """File for what the user sees; ``gone`` is a pipe without a reader."""
    patch: tuple[object, ...] = ()
    """Name of one of ``PATCHES`` and its arguments."""
    limits: dict[str, int] = field(default_factory=dict)
    """By name of ``resource``, without ``RLIMIT_``; a negative one is added to what is taken."""
    is_privileged: bool = True
    """Whether the rights of root are kept: permissions do not bind it."""
    is_cold: bool = False
    """Whether it is started by a shell with an interpreter of its own, not forked."""
    shell: str = ""
    """Redirections of that shell."""

    def to_json(self):
        return json.dumps(asdict(self))


def run(settings):
    """Run the command; return its exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    note_chunks(settings.trace)
    if settings.patch:
        name, *arguments = settings.patch
        PATCHES[name](*arguments)
    for name, value in settings.limits.items():
        most = value if value > 0 else address_space() - value
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
    if not settings.is_privileged:
        drop_privileges()
    from flashtalk_core.cli.main import main
    from flashtalk_core.cli.program import run_as_process

    return run_as_process(lambda: main(list(settings.arguments)))


def run_forked(settings):
    """Run in a process that was forked from one that has imported everything."""
    os.setsid()
    redirect(settings.stderr)
    sys.exit(run(settings))


def address_space():
    """Return the bytes of memory that this process has addresses for."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def redirect(stderr):
    if stderr == "gone":
        reader, writer = os.pipe()
        os.close(reader)
    else:
        writer = os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(writer, 2)
    os.dup2(writer, 1)


def note_chunks(trace):
    """Write a line when the first step of a chunk begins."""
    from torch.nn.modules.module import register_module_forward_pre_hook

    file = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(module, _inputs):
        if type(module).__name__ == "AvatarDiT":
            os.write(file, b"chunk\n")

    register_module_forward_pre_hook(note)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    sys.exit(run(Settings(**given)))
