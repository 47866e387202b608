"""What is done to a render and its files, from outside."""

import json
import os
import resource
import shutil
import time
from pathlib import Path

from tests.faults.disk import fill, mount
from tests.faults.scene import wait_until

TINY = Path(__file__).parents[2] / "flashtalk_core" / "assets" / "tiny"


def send(*names):
    """Send signals."""
    return lambda _scene, run: run.signal(*names)


def kill(_scene, run):
    run.signal("SIGKILL")
    run.wait()


def then_kill(change, when=None):
    """Change something in mid-run; the process is killed a chunk later, or at a moment."""

    def act(scene, run):
        change(scene)
        begun = scene.num_begun
        wait_until(
            lambda: when(scene, run) if when is not None else scene.num_begun > begun,
            run,
        )
        kill(scene, run)

    return act


def only(change):
    """Change something in mid-run."""

    def act(scene, _run):
        change(scene)

    return act


def interrupted(chunks=2):
    """Leave a render that was killed after some chunks."""

    def prepare(scene):
        run = scene.start()
        assert wait_until(lambda: scene.num_saved >= chunks, run)
        kill(scene, run)

    return prepare


def interrupted_and(change, chunks=2):
    """The same, and something was changed since."""

    def prepare(scene):
        interrupted(chunks)(scene)
        change(scene)

    return prepare


def run_another(scene, _run):
    """Start the same command while the first one runs; what it says is judged."""
    return scene.start().wait()


def run_another_without_lock(scene, run):
    scene.output.lock.unlink()
    return run_another(scene, run)


def stop_for(pause_s):
    """Stop the process and let it go on."""

    def act(_scene, run):
        run.signal("SIGSTOP")
        time.sleep(pause_s)
        run.signal("SIGCONT")

    return act


def run_another_while_stopped(scene, run):
    run.signal("SIGSTOP")
    outcome = run_another(scene, run)
    run.signal("SIGCONT")
    return outcome


def limit(name, value):
    """Limit a process that runs."""

    def act(_scene, run):
        kind = getattr(resource, f"RLIMIT_{name}")
        _, most = resource.prlimit(run.pid, kind)
        resource.prlimit(run.pid, kind, (value, most))

    return act


def fill_disk(scene):
    fill(scene.out)


def remount(options):
    """Mount the video's disk with other options."""
    return lambda scene: mount("-o", f"remount,{options}", str(scene.out))


def permit(mode, name="out"):
    """Change who may do what with the folder, or one of the files."""
    return lambda scene: getattr(scene, name).chmod(mode)


def remove_folder(scene):
    shutil.rmtree(scene.out)


def make_folder(scene):
    scene.out.mkdir(exist_ok=True)


def replace_folder(scene):
    remove_folder(scene)
    make_folder(scene)


def rename_folder(scene):
    scene.out.rename(scene.folder / "renamed")


def rename_folder_back(scene):
    if scene.out.exists():
        shutil.rmtree(scene.out)
    (scene.folder / "renamed").rename(scene.out)


def remove(name):
    """Remove one of the render's files."""
    return lambda scene: getattr(scene.output, name).unlink()


def replace_by_file(name):
    """Put another file in the place of one."""

    def act(scene):
        path = getattr(scene.output, name)
        path.unlink()
        path.write_bytes(b"of another program" * 999)

    return act


def replace_by_folder(name):
    def act(scene):
        path = getattr(scene.output, name)
        path.unlink(missing_ok=True)
        path.mkdir()

    return act


def replace_by_link(name):
    """Put a link to another file in the place of one."""

    def act(scene):
        path = getattr(scene.output, name)
        other = scene.folder / "other"
        path.rename(other)
        path.symlink_to(other)

    return act


def remove_what_replaced(name):
    def act(scene):
        path = getattr(scene.output, name)
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()

    return act


def flip(name, share):
    """Change a byte of one of the render's files."""

    def act(scene):
        path = getattr(scene.output, name)
        data = bytearray(path.read_bytes())
        data[int(share * len(data))] ^= 0xFF
        path.write_bytes(data)

    return act


def cut(name, share):
    """Cut one of the render's files."""
    return lambda scene: _cut(getattr(scene.output, name), share)


def _cut(path, share):
    os.truncate(path, int(share * path.stat().st_size))


def append(name, data):
    def act(scene):
        with getattr(scene.output, name).open("ab") as file:
            file.write(data)

    return act


def write(name, data):
    return lambda scene: getattr(scene.output, name).write_bytes(data)


def date(time_s):
    """Let all files of the render be of some time."""

    def act(scene):
        for path in scene.out.iterdir():
            os.utime(path, (time_s, time_s))

    return act


def other_version(scene):
    """Let the state be of a later version of the program."""
    path = scene.output.state
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    fields = json.loads(header["__metadata__"]["flashtalk_job"])
    header["__metadata__"]["flashtalk_job"] = json.dumps(fields | {"version": 99})
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def aside(name):
    """Move an input away."""
    return lambda scene: getattr(scene, name).rename(scene.folder / f"aside-{name}")


def back(name):
    """Move it back."""

    def act(scene):
        (scene.folder / f"aside-{name}").replace(getattr(scene, name))

    return act


def swap(name):
    """Replace an input by another one of its kind; the first is kept aside."""

    def act(scene):
        path = getattr(scene, name)
        data = bytearray(path.read_bytes())
        path.rename(scene.folder / f"aside-{name}")
        if name == "portrait":
            from PIL import Image

            Image.new("RGB", (64, 64), "green").save(path)
        else:
            path.write_bytes(data[:44] + data[44:][::-1])

    return act


def cut_input(name, share):
    """Cut an input where it is; a copy is kept aside."""

    def act(scene):
        path = getattr(scene, name)
        shutil.copy2(path, scene.folder / f"aside-{name}")
        _cut(path, share)

    return act
