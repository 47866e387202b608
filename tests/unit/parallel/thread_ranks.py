"""Ranks that are threads of one process: exactness in milliseconds, without processes."""

import queue
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch

LIMIT_S = 120


class Stopped(Exception):
    """Another rank failed."""


class Mail:
    """A queue from each rank to each other."""

    def __init__(self) -> None:
        self.boxes: dict[tuple[int, int], queue.Queue[Any]] = defaultdict(queue.Queue)
        self.lock = threading.Lock()
        self.failed = threading.Event()

    def box(self, sender: int, receiver: int) -> "queue.Queue[Any]":
        with self.lock:
            return self.boxes[sender, receiver]

    def take(self, sender: int, receiver: int) -> torch.Tensor:
        box = self.box(sender, receiver)
        for _ in range(LIMIT_S * 20):
            if self.failed.is_set():
                raise Stopped
            try:
                return box.get(timeout=0.05)
            except queue.Empty:
                continue
        raise TimeoutError(f"rank {receiver} waited {LIMIT_S} s for rank {sender}")


class ThreadCollectives:
    """A group of threads; counts what it sends, in bytes that leave the rank."""

    recordable = False

    def __init__(self, mail: Mail, rank: int, ranks: list[int]) -> None:
        self.mail, self.ranks = mail, ranks
        self.rank, self.size = ranks.index(rank), len(ranks)
        self.sent_bytes = 0
        self.num_calls = 0

    def put(self, receiver, part):
        if receiver != self.rank:
            self.sent_bytes += part.numel() * part.element_size()
        self.mail.box(self.ranks[self.rank], self.ranks[receiver]).put(part.detach().clone())

    def take(self, sender, shape, dtype):
        part = self.mail.take(self.ranks[sender], self.ranks[self.rank])
        assert part.shape == torch.Size(shape), (sender, part.shape, shape)
        assert part.dtype == dtype, (sender, part.dtype, dtype)
        return part

    def all_to_all(self, parts, shapes):
        self.num_calls += 1
        assert len(parts) == len(shapes) == self.size, (len(parts), len(shapes), self.size)
        for rank, part in enumerate(parts):
            self.put(rank, part)
        return [self.take(rank, shape, parts[0].dtype) for rank, shape in enumerate(shapes)]

    def all_gather(self, part, shapes):
        assert part.shape == torch.Size(shapes[self.rank]), (part.shape, shapes)
        return self.all_to_all([part] * self.size, shapes)

    def send(self, parts, shapes, like):
        self.num_calls += 1
        for rank, part in parts.items():
            self.put(rank, part)
        return _Pending(self, shapes, like.dtype)

    def sum(self, values):
        parts = self.all_gather(values, [tuple(values.shape)] * self.size)
        return torch.stack(parts).sum(dim=0)

    def max(self, values):
        parts = self.all_gather(values, [tuple(values.shape)] * self.size)
        return torch.stack(parts).amax(dim=0)

    def broadcast(self, values, root):
        if self.rank == root:
            for rank in range(self.size):
                self.put(rank, values)
        return self.take(root, tuple(values.shape), values.dtype)

    def subgroup(self, groups):
        for ranks in groups:
            if self.rank in ranks:
                members = [self.ranks[rank] for rank in ranks]
                return ThreadCollectives(self.mail, self.ranks[self.rank], members)
        return None


class _Pending:
    def __init__(self, group, shapes, dtype):
        self.group, self.shapes, self.dtype = group, shapes, dtype

    def wait(self):
        return {
            rank: self.group.take(rank, shape, self.dtype) for rank, shape in self.shapes.items()
        }


def run_ranks(world: int, work: Callable[[ThreadCollectives], Any]) -> list[Any]:
    """Run ``work(collectives)`` on each rank at once; return the results in order of ranks.

    The error of the rank that failed first is raised. Gradients are off, as in inference.
    """
    mail = Mail()
    results: list[Any] = [None] * world
    errors: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            with torch.no_grad():
                results[rank] = work(ThreadCollectives(mail, rank, list(range(world))))
        except Stopped:
            pass
        except BaseException as error:
            errors.append(error)
            mail.failed.set()

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
