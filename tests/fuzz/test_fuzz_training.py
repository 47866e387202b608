"""Damaged files of training: each is refused in one line, or read as what it is."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from flashtalk_core.config.networks import VAEConfig
from flashtalk_core.errors import FlashTalkError
from flashtalk_training import stages
from flashtalk_training.experiment.table import load_experiment, read_results
from flashtalk_training.runs.curves import Curve, read_curve
from flashtalk_training.runs.states import load_state, save_state
from flashtalk_training.speech.corpus_file import corpus_minutes, load_corpus

from .mutate import cases, mutated, mutated_value, run

pytestmark = pytest.mark.manual

ROOT = Path(__file__).parents[2]
REFUSALS = (FlashTalkError,)


def check(count):
    assert not count.uncaught, str(count)


def test_curves(tmp_path):
    path, seeds = tmp_path / "a.csv", [b"step,time_s,loss\n1,2,0.5\n2,4.5,0.25\n3,6,\n"]

    def read(content):
        path.write_bytes(content)
        read_curve(path)
        curve = Curve(path)
        curve.cut("step", 2)
        curve.add(step=3, loss=1.0, other=2.0)

    check(run("curves", read, cases(5_000, lambda rng: mutated(rng, seeds)), REFUSALS))


def test_states(tmp_path):
    save_state(tmp_path, "vae", {"a": torch.ones(3)}, {"step": 4.0, "spent_s": 2.0})
    path = tmp_path / "vae-0.safetensors"
    seeds = [path.read_bytes()]

    def read(content):
        path.write_bytes(content)
        load_state(tmp_path, "vae")

    check(run("states", read, cases(6_000, lambda rng: mutated(rng, seeds)), REFUSALS))


def test_statistics(tmp_path):
    path = tmp_path / "latents.json"
    values = {"step": 5, "latent_mean": [0.5] * 16, "latent_std": [1.0] * 16}

    def make(rng):
        text = json.dumps(mutated_value(rng, values)).encode()
        return mutated(rng, [text]) if rng.random() < 0.3 else text

    def read(content):
        path.write_bytes(content)
        found = stages._read_statistics(path)
        latents = {name: found[name] for name in ("latent_mean", "latent_std")}
        replace(VAEConfig(), **latents)

    check(run("latents.json", read, cases(4_000, make), REFUSALS))


def test_tables(tmp_path):
    path = tmp_path / "a.toml"
    seeds = [file.read_bytes() for file in (ROOT / "docs/training").rglob("*.toml")]
    assert seeds

    def read(content):
        path.write_bytes(content)
        load_experiment(path).cells()

    check(run("TOML", read, cases(4_000, lambda rng: mutated(rng, seeds)), REFUSALS))


def test_results(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = (ROOT / "docs/training/experiment.jsonl").read_text().splitlines()
    results = [json.loads(line) for line in lines]

    def make(rng):
        text = json.dumps(mutated_value(rng, rng.choice(results))).encode()
        return mutated(rng, [text]) if rng.random() < 0.2 else text

    def read(content):
        path.write_bytes(content)
        {result.get("key") for result in read_results(path)}

    check(run("JSONL", read, cases(3_000, make), REFUSALS))


def test_corpora(tmp_path):
    path = tmp_path / "a.safetensors"
    parts = {
        "sound": np.zeros(1280, np.uint8), "mouth": np.zeros((2, 6), np.uint8),
        "phonemes": np.zeros(2, np.uint8), "starts": np.array([0, 2], np.int32),
        "voice_ids": np.zeros(1, np.int32), "held_out": np.zeros(1, np.uint8),
    }  # fmt: skip
    seeds = [save(parts, {"format": "flashtalk-corpus-1", "voices": '["a"]'})]

    def read(content):
        path.write_bytes(content)
        corpus = load_corpus(path)
        corpus_minutes(path)
        for number in range(len(corpus)):
            corpus.segment(number)

    check(run("corpus", read, cases(6_000, lambda rng: mutated(rng, seeds)), REFUSALS))
