"""Disks that are full, read-only, without names left, or that fail."""

from tests.faults.acts import (
    fill_disk,
    interrupted_and,
    only,
    permit,
    remount,
    then_kill,
)  # fmt: skip
from tests.faults.case import Fault
from tests.faults.disk import free
from tests.faults.moments import chunk_saved

KIND = "disk"
FULL = r"error: output .*no space left on device; free some space"
SAVED = r"how far this render has come cannot be saved"
MORE_ROOM = remount("size=10m")


def _free(scene):
    free(scene.out)


FAULTS = [
    Fault(name="no room at all", kind=KIND, disk="size=4k", prepare=fill_disk, code=2,
          says=FULL, mend=lambda scene: (_free(scene), MORE_ROOM(scene))),
    Fault(name="full in the first chunk (16 KB)", kind=KIND, disk="size=16k", code=2, says=FULL,
          mend=MORE_ROOM),
    Fault(name="full where the first state is written (64 KB)", kind=KIND, disk="size=64k", code=2,
          says=FULL, mend=MORE_ROOM, most_again=4),
    Fault(name="full where the second state is written (116 KB)", kind=KIND, disk="size=116k",
          code=2, says=FULL, mend=MORE_ROOM, most_again=3),
    Fault(name="room for the chunks and one state, not for a second file (188 KB)", kind=KIND,
          disk="size=188k", code=2, says=FULL, mend=MORE_ROOM, most_again=3),
    Fault(
        name="room for one state, and 14 KB for the finished file (200 KB)",
        kind=KIND,
        disk="size=200k",
        code=2,
        says=r"no space left on device; free some space .*; the same command puts them together",
        mend=MORE_ROOM,
        most_again=0,
    ),
    Fault(
        name="room for one state, and 32 KB for the finished file (218 KB)",
        kind=KIND,
        disk="size=218k",
        most_again=0,
        says=SAVED,
    ),
    Fault(name="room for all states, a little for the finished file (256 KB)", kind=KIND,
          disk="size=256k", most_again=0),
    Fault(name="filled by another program after chunk 2", kind=KIND, disk="size=1m", code=2,
          when=chunk_saved(2), act=only(fill_disk), says=FULL, mend=_free),
    Fault(name="filled after chunk 2, then kill -9 and no room at the next run", kind=KIND,
          disk="size=1m", prepare=interrupted_and(fill_disk), code=2, says=FULL, mend=_free),
    Fault(name="filled after chunk 3, by the last one", kind=KIND, disk="size=1m", code=2,
          when=chunk_saved(3), act=only(fill_disk), says=FULL, mend=_free),
    Fault(name="no names left (inodes)", kind=KIND, disk="size=10m,nr_inodes=4", code=2, says=FULL,
          mend=remount("nr_inodes=100"), most_again=3),
    Fault(name="log on a full disk", kind=KIND, child={"stderr": "/dev/full"}, most_again=0),
    Fault(name="limit of a file's size (ulimit -f, 50 KB)", kind=KIND,
          child={"limits": {"FSIZE": 50_000}}, code=2,
          says="error: output .*file too large; raise the file size limit", most_again=3),
    Fault(name="read-only at the next run", kind=KIND, disk="size=1m",
          prepare=interrupted_and(remount("ro")), code=2,
          says="error: output .*read-only file system; choose a folder", mend=remount("rw")),
    Fault(name="folder without permission to write after chunk 2", kind=KIND,
          child={"is_privileged": False}, when=chunk_saved(2), act=only(permit(0o555)), code=2,
          says="error: output .*permission denied; choose a folder", mend=permit(0o755),
          most_again=2),
    Fault(name="folder that may not be listed after chunk 2", kind=KIND,
          child={"is_privileged": False}, when=chunk_saved(2), act=only(permit(0o333)),
          mend=permit(0o755), most_again=0),
    Fault(name="no permission after chunk 2, then kill -9", kind=KIND,
          child={"is_privileged": False}, when=chunk_saved(2), act=then_kill(permit(0o555)),
          code=-9, mend=permit(0o755), most_again=2),
    Fault(name="a sync of the video fails (EIO)", kind=KIND, child={"patch": ("fail_at", "fsync",
          4, "EIO")}, code=2, says="error: output .*input/output error"),
    Fault(name="a sync of the state fails (EIO)", kind=KIND, child={"patch": ("fail_at", "fsync",
          5, "EIO")}, says=SAVED, most_again=0),
    Fault(name="a sync of the finished file fails (EIO)", kind=KIND,
          child={"patch": ("fail_at", "fsync", 12, "EIO")}, code=2,
          says="error: output .*input/output error", most_again=1),
    Fault(name="the finished file cannot be renamed (EACCES)", kind=KIND,
          child={"patch": ("fail_at", "replace", 4, "EACCES")}, code=2,
          says="error: output .*permission denied", most_again=1),
    Fault(name="quota used up (EDQUOT) at a state", kind=KIND,
          child={"patch": ("fail_at", "fsync", 2, "EDQUOT")}, says=SAVED, most_again=0),
]  # fmt: skip
