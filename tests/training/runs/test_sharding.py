"""Weights spread over two processes train as if each process had all of them."""

import dataclasses
import faulthandler
import json

import pytest
import torch

from flashtalk_training.cli.main import main
from flashtalk_training.recipe import DistillRecipe
from flashtalk_training.runs.curves import read_curve
from flashtalk_training.runs.ranks import is_sharded, joined
from flashtalk_training.runs.sharding import shard
from flashtalk_training.runs.states import load_state
from flashtalk_training.stage_2.states import STATE
from flashtalk_training.stage_2.trainer import DistillTrainer
from flashtalk_training.vocabulary import make_tokenizer
from tests.training.toy_networks import DEVICE, NUM_FACES, toy_networks

pytestmark = pytest.mark.ranks

RECIPE = DistillRecipe(
    num_steps=4, batch=2, num_faces=NUM_FACES, max_chunks=2, steps=2, student_every=2,
    mouth_weight=1.0, student_rate=1e-3, critic_rate=1e-3, report_every=1, save_every=2,
    lasting_sessions=2,
)  # fmt: skip


def train_rank(rank, folder, config, corpus):
    """Train sharded and whole in one of two processes; the sharded run is resumed in the middle."""
    faulthandler.enable()  # an abort in a library says where
    torch.set_num_threads(1)
    environment = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "localhost"}
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        for name, value in environment.items():
            patch.setenv(name, str(value))
        patch.setenv("MASTER_PORT", (folder / "port").read_text())
        with joined(DEVICE) as device:
            assert device == DEVICE
            for name, spread, parts in (("whole", None, 1), ("sharded", shard, 2)):
                report = {}
                for _ in range(parts):
                    trainer = make(config, corpus, folder, folder / name, spread)
                    report.setdefault("steps", []).append(trainer.step)
                    done = trainer.run(0.0 if parts > 1 else 1e9)
                report["done"] = done
                report["sharded"] = all(is_sharded(p) for p in trainer.student.parameters())
                report["held"] = sum(
                    (p.to_local() if is_sharded(p) else p).numel()
                    for p in trainer.student.parameters()
                )
                (folder / f"{name}-{rank}.json").write_text(json.dumps(report))


def make(config, corpus, tokens, folder, spread):
    model, vae, bank = toy_networks(config, corpus, tokens / "spiece.model")
    return DistillTrainer(config, RECIPE, model.dit, vae, bank, folder, 4, spread)


@pytest.fixture(scope="module")
def trained(config, corpus, tmp_path_factory):
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13):
        pytest.skip("backward of torch's FSDP2 fails on a CPU: seen with torch 2.7 and 2.11")
    from socket import socket

    folder = tmp_path_factory.mktemp("sharding")
    make_tokenizer(folder / "spiece.model", config.text.vocab_size)
    with socket() as free:
        free.bind(("localhost", 0))
        (folder / "port").write_text(str(free.getsockname()[1]))
    two = dataclasses.replace(config, dit=dataclasses.replace(config.dit, num_layers=2))
    torch.multiprocessing.spawn(train_rank, (folder, two, corpus), nprocs=2)
    return folder


def report_of(folder, name, rank):
    return json.loads((folder / f"{name}-{rank}.json").read_text())


def test_each_rank_holds_about_half_of_the_weights(trained):
    everything = report_of(trained, "whole", 0)["held"]
    halves = [report_of(trained, "sharded", rank) for rank in range(2)]
    assert all(half["sharded"] for half in halves)
    assert sum(half["held"] for half in halves) == everything
    assert all(half["held"] < 0.6 * everything for half in halves)


def test_losses_and_weights_are_those_of_whole_networks(trained):
    curves = [read_curve(trained / name / "distill.csv") for name in ("whole", "sharded")]
    assert [len(curve) for curve in curves] == [4, 4]
    for one, other in zip(*curves, strict=True):
        assert one == pytest.approx(other, rel=1e-3)
    (one, notes), (other, other_notes) = (
        load_state(trained / name, STATE) for name in ("whole", "sharded")
    )
    assert notes == other_notes
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.allclose(value.float(), other[name].float(), rtol=1e-2, atol=2e-3), name


def test_a_sharded_run_is_resumed_from_what_the_first_rank_wrote(trained):
    for rank in range(2):
        assert report_of(trained, "sharded", rank)["steps"] == [0, 2]
        assert report_of(trained, "sharded", rank)["done"]


@pytest.mark.parametrize(
    ("processes", "said"), [(None, "at least two"), ("1", "at least two"), ("many", "'many' is no")]
)
def test_a_single_process_is_asked_to_start_others(monkeypatch, capsys, processes, said):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if processes is not None:
        monkeypatch.setenv("WORLD_SIZE", processes)
    assert main(["train", "distill", "--sharded"]) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert "torchrun" in shown
