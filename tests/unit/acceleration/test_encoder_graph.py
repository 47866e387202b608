"""When the audio encoder is recorded, with a stand-in for the graph on a CPU."""

import pytest
import torch

from flashtalk_core.acceleration.apply import release_graphs, set_graph
from flashtalk_core.acceleration.encoder_graph import EncoderGraph
from flashtalk_core.config.networks import AudioEncoderConfig
from flashtalk_core.models.encoders.audio import AudioEncoder, run_encoder
from tests.unit.acceleration.test_step_graph import Captures

pytestmark = pytest.mark.cpu

CONFIG = AudioEncoderConfig(
    hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
    conv_dim=(8,) * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
)  # fmt: skip


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return AudioEncoder(CONFIG).eval()


def speech(seed, num_samples=16_000):
    return torch.randn(1, num_samples, generator=torch.Generator().manual_seed(seed))


def check(encoder, graph, samples, num_frames=25):
    with torch.no_grad():
        expected = encoder.encode(samples, num_frames)
        assert torch.equal(graph(encoder, samples, num_frames), expected)


def test_windows_of_one_length_are_recorded_once(encoder):
    captures = Captures()
    graph = EncoderGraph(captures)
    for seed in range(4):
        check(encoder, graph, speech(seed))
    assert captures.count == 1
    for num_samples, num_frames in ((16_000, 20), (12_000, 20)):
        for seed in range(3):
            check(encoder, graph, speech(seed, num_samples), num_frames)
    assert captures.count == 3


def test_moved_weights_and_a_release_record_again(encoder):
    captures = Captures()
    encoder.execution = graph = EncoderGraph(captures)
    for seed in range(3):
        check(encoder, graph, speech(seed))
    old = [parameter.data for parameter in encoder.parameters()]
    for parameter in encoder.parameters():
        parameter.data = parameter.data.clone()
    for seed in range(3):
        check(encoder, graph, speech(seed))
    assert captures.count == 2
    release_graphs(encoder)
    for seed in range(3):
        check(encoder, graph, speech(seed))
    assert captures.count == 3
    assert old, "kept until here, so that nothing takes its place"


def test_a_failure_is_logged_once_and_the_encoder_stays_eager(encoder, caplog):
    captures = Captures(RuntimeError("not here"))
    graph = EncoderGraph(captures)
    for seed in range(4):
        check(encoder, graph, speech(seed))
    assert captures.count == 1
    (record,) = caplog.records
    assert record.getMessage().startswith("the audio encoder cannot be recorded as a CUDA graph")


def test_training_is_never_recorded(encoder):
    captures = Captures()
    encoder.execution = EncoderGraph(captures)
    for seed in range(3):
        encoder(speech(seed), 25).sum().backward()
    assert captures.count == 0


def test_graphs_are_for_cuda_devices(encoder):
    set_graph(encoder, "auto", torch.device("cuda"))
    assert isinstance(encoder.execution, EncoderGraph)
    set_graph(encoder, "on", torch.device("cpu"))
    assert encoder.execution is run_encoder
