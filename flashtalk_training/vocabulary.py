"""The tiny model's own sentencepiece vocabulary."""

from __future__ import annotations

import io
from pathlib import Path

from flashtalk_core.files.replacing import replacing

from .speech.prompts import prompt_vocabulary

# Everyday words in addition to the wordings, so that other prompts split into sensible tokens.
_MORE = (
    "A woman with long hair is speaking in front of a plain wall, the camera does not move.",
    "A man with glasses and a beard explains something, looking straight at the viewer.",
    "Portrait of a happy young person telling a story with a bright smile.",
    "An old teacher reads slowly from a book and nods, quiet and serious.",
    "The news presenter talks fast, hands below the frame, studio light.",
)


def make_tokenizer(path: Path, vocab_size: int) -> None:
    """Train a sentencepiece model with umT5's special ids on the prompts' wordings.

    Args:
        path: File to write; written under a temporary name first.
        vocab_size: Largest number of tokens.
    """
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter([*prompt_vocabulary(), *_MORE * 4]),
        model_writer=model,
        vocab_size=vocab_size,
        model_type="unigram",
        hard_vocab_limit=False,
        byte_fallback=False,
        normalization_rule_name="identity",
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(model.getvalue())
