"""Files of training: curves, states, statistics, experiments, results, the speech corpus."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save

from flashtalk_core.config.networks import VAEConfig
from flashtalk_training import stages
from flashtalk_training.evaluation.lips import read_track
from flashtalk_training.experiment.table import load_experiment, read_results
from flashtalk_training.runs.curves import Curve, read_curve
from flashtalk_training.runs.states import load_state, save_state
from flashtalk_training.speech.corpus_file import corpus_minutes, load_corpus

from ..mutate import changed_json, changed_lines, changed_safetensors
from ..reader import Reader

ROOT = Path(__file__).parents[3]


def _curves(folder):
    return [b"step,time_s,loss\n1,2,0.5\n2,4.5,0.25\n3,6,\n"]


def _open_curve(folder):
    path = folder / "a.csv"

    def read(content):
        path.write_bytes(content)
        read_curve(path)
        curve = Curve(path)
        curve.cut("step", 2)
        curve.add(step=3, loss=1.0, other=2.0)

    return read


def _states(folder):
    save_state(folder, "vae", {"a": torch.ones(3)}, {"step": 4.0, "spent_s": 2.0})
    return [(folder / "vae-0.safetensors").read_bytes()]


def _open_state(folder):
    path = folder / "vae-0.safetensors"

    def read(content):
        path.write_bytes(content)
        load_state(folder, "vae")

    return read


def _statistics(folder):
    values = {"step": 5, "latent_mean": [0.5] * 16, "latent_std": [1.0] * 16}
    return [json.dumps(values).encode()]


def _open_statistics(folder):
    path = folder / "latents.json"

    def read(content):
        path.write_bytes(content)
        found = stages._read_statistics(path)
        latents = {name: found[name] for name in ("latent_mean", "latent_std")}
        replace(VAEConfig(), **latents)

    return read


def _tables(folder):
    return [path.read_bytes() for path in (ROOT / "docs/training").rglob("*.toml")]


def _open_table(folder):
    path = folder / "a.toml"

    def read(content):
        path.write_bytes(content)
        load_experiment(path).cells()

    return read


def _results(folder):
    return (ROOT / "docs/training/experiment.jsonl").read_bytes().splitlines(keepends=True)[:50]


def _open_results(folder):
    path = folder / "a.jsonl"

    def read(content):
        path.write_bytes(content)
        {result.get("key") for result in read_results(path)}

    return read


def _corpora(folder):
    parts = {
        "sound": np.zeros(1280, np.uint8), "mouth": np.zeros((2, 6), np.uint8),
        "phonemes": np.zeros(2, np.uint8), "starts": np.array([0, 2], np.int32),
        "voice_ids": np.zeros(1, np.int32), "held_out": np.zeros(1, np.uint8),
    }  # fmt: skip
    return [save(parts, {"format": "flashtalk-corpus-1", "voices": '["a"]'})]


def _open_corpus(folder):
    path = folder / "a.safetensors"

    def read(content):
        path.write_bytes(content)
        corpus = load_corpus(path)
        corpus_minutes(path)
        for number in range(len(corpus)):
            corpus.segment(number)

    return read


def _tracks(folder):
    return [json.dumps({"mouth": [[0.5, 0.1], [0.25, 0.2], [1, 0]]}).encode()]


def _open_track(folder):
    path = folder / "speech.track.json"

    def read(content):
        path.write_bytes(content)
        track = read_track(path)
        assert np.isfinite(track).all()
        assert track.ndim == 1

    return read


READERS = (
    Reader("curves", _curves, _open_curve, changed_lines, 2_000),
    Reader("states of training", _states, _open_state, changed_safetensors, 2_000),
    Reader("latents.json", _statistics, _open_statistics, changed_json, 1_500),
    Reader("experiments", _tables, _open_table, changed_lines, 2_000),
    Reader("results", _results, _open_results, changed_lines, 2_000),
    Reader("mouth tracks", _tracks, _open_track, changed_json, 1_500),
    Reader("corpora", _corpora, _open_corpus, changed_safetensors, 2_000),
)
