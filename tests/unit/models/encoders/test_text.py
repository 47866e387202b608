"""Text encoder: masks, lengths, positions, epsilons."""

import io
from dataclasses import replace

import pytest
import sentencepiece
import torch

from flashtalk_core.config.networks import TextEncoderConfig
from flashtalk_core.models.encoders.text import TextEncoder, encode_prompt
from flashtalk_core.models.encoders.tokenizer import Tokenizer

pytestmark = pytest.mark.cpu

CONFIG = TextEncoderConfig(
    vocab_size=64, dim=32, dim_attn=48, dim_ffn=40, num_heads=4, num_layers=2, num_buckets=32
)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return TextEncoder(CONFIG).eval()


@pytest.fixture(scope="module")
def tokenizer():
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a person is talking", "the background is static"] * 5),
        model_writer=written,
        vocab_size=30,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return Tokenizer(written.getvalue())


def test_padding_does_not_change_the_tokens_before_it(encoder):
    ids = torch.tensor([[5, 9, 3, 1]])
    padded = torch.cat([ids, torch.zeros(1, 6, dtype=torch.int64)], dim=1)
    mask = (padded != 0).long()
    with torch.no_grad():
        short, long = encoder(ids, torch.ones_like(ids)), encoder(padded, mask)
    torch.testing.assert_close(long[:, :4], short, atol=1e-5, rtol=1e-5)


def test_order_of_tokens_matters(encoder):
    ids = torch.tensor([[5, 9, 3, 1]])
    with torch.no_grad():
        forward = encoder(ids, torch.ones_like(ids))
        backward = encoder(ids.flip(1), torch.ones_like(ids)).flip(1)
    assert float((forward - backward).abs().max()) > 1e-3


def test_prompt_becomes_one_row_for_each_token_and_the_end(encoder, tokenizer):
    _, mask = tokenizer("a person", 16)
    with torch.no_grad():
        context = encode_prompt(encoder, tokenizer, "a person", 16)
    assert context.shape == (int(mask.sum()), CONFIG.dim)


def test_prompt_is_the_padded_context_cut(encoder, tokenizer):
    ids, mask = tokenizer("the person is static", 32)
    with torch.no_grad():
        padded = encoder(ids, mask)[0, : int(mask.sum())]
        context = encode_prompt(encoder, tokenizer, "the person is static", 32)
    torch.testing.assert_close(context, padded, atol=1e-5, rtol=1e-5)


def test_every_layer_has_its_own_position_bias_(encoder):
    biases = [n for n, _ in encoder.named_parameters() if "relative_attention_bias" in n]
    assert len(biases) == CONFIG.num_layers


@pytest.mark.parametrize("num_buckets", [8, 32, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_context_is_that_of_the_library(num_buckets, dtype):
    from transformers import UMT5Config, UMT5EncoderModel

    sizes = UMT5Config(
        vocab_size=64, d_model=32, d_kv=12, d_ff=40, num_layers=2, num_heads=4, dropout_rate=0.0,
        relative_attention_num_buckets=num_buckets, relative_attention_max_distance=128,
        layer_norm_epsilon=1e-6, feed_forward_proj="gated-gelu", use_cache=False,
    )  # fmt: skip
    torch.manual_seed(0)
    ours = TextEncoder(replace(CONFIG, num_buckets=num_buckets)).eval()
    library = UMT5EncoderModel(sizes).encoder.eval()
    library.load_state_dict(ours.encoder.state_dict())
    ids = torch.randint(1, 64, (2, 300))
    mask = torch.ones_like(ids)
    mask[1, 200:] = 0
    with torch.no_grad():
        expected = library.to(dtype)(input_ids=ids, attention_mask=mask).last_hidden_state
        context = ours.to(dtype)(ids, mask)
    error = (context - expected)[mask.bool()].abs().max()
    assert float(error) <= (1e-5 if dtype == torch.float32 else 0.04)
