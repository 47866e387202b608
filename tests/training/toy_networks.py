"""Untrained networks of toy sizes, and sessions to distil them on."""

import torch

from flashtalk_core.models.encoders.audio import AudioEncoder
from flashtalk_core.models.encoders.tokenizer import Tokenizer
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_training.speech.prompts import prompt_vocabulary
from flashtalk_training.stage_1.audio_windows import AudioBank
from flashtalk_training.stage_1.clips import ClipBank
from flashtalk_training.stage_1.dit_trainer import PromptTokens, Stage1Model
from flashtalk_training.stage_2.scenes import SceneBank
from flashtalk_training.vocabulary import make_tokenizer

DEVICE = torch.device("cpu")
NUM_FACES = 4


def toy_tokens(config, tokenizer_path):
    """Return all wordings as tokens; the vocabulary is made if it is not there."""
    if not tokenizer_path.is_file():
        make_tokenizer(tokenizer_path, config.text.vocab_size)
    tokenizer = Tokenizer.from_file(tokenizer_path)
    return PromptTokens.encode(list(prompt_vocabulary()), tokenizer, config.dit.text_len, DEVICE)


def toy_clips(config, recipe, corpus):
    """Return an empty bank of clips."""
    return ClipBank(
        config,
        recipe,
        VideoVAE(config.vae).requires_grad_(False),
        AudioEncoder(config.audio).requires_grad_(False),
        AudioBank.from_corpus(corpus, False, DEVICE),
        list(prompt_vocabulary().values()),
        DEVICE,
        seed=0,
    )


def toy_networks(config, corpus, tokenizer_path):
    """Return a Stage 1 model, an autoencoder and a bank, the same at every call."""
    tokens = toy_tokens(config, tokenizer_path)
    torch.manual_seed(0)
    model = Stage1Model(config).requires_grad_(False)
    torch.nn.init.normal_(model.dit.head.head.weight, std=0.1)
    vae = VideoVAE(config.vae).requires_grad_(False)
    audio = AudioEncoder(config.audio).requires_grad_(False)
    audio_inputs = AudioBank.from_corpus(corpus, False, DEVICE)
    bank = SceneBank(config, NUM_FACES, vae, audio, model, tokens, audio_inputs, seed=0)
    return model, vae, bank
