"""The tokenizer of a model: from `tokenizer.json`, or rebuilt from the vocabulary of a GGUF file."""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from .weights import read_gguf

_SPECIAL = 3


def from_gguf_meta(meta: dict) -> Tokenizer:
    """Rebuilds the byte-level BPE tokenizer of a GGUF with pre-tokenizer `smollm`."""
    pre = meta.get("tokenizer.ggml.pre")
    if meta.get("tokenizer.ggml.model") != "gpt2" or pre != "smollm":
        raise ValueError(f"pre-tokenizer {pre!r} is not supported")
    words, kinds = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    merges = [tuple(m.split(" ")) for m in meta["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={w: i for i, w in enumerate(words)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [w for w, k in zip(words, kinds) if k == _SPECIAL]
    tokenizer.add_special_tokens([AddedToken(w, special=True, normalized=False) for w in special])
    return tokenizer


def load(path: Path) -> Tokenizer:
    """Tokenizer of a model folder, a `tokenizer.json` or a GGUF file."""
    path = Path(path)
    if path.is_dir():
        path = path / "tokenizer.json"
    if path.suffix == ".json":
        return Tokenizer.from_file(str(path))
    return from_gguf_meta(read_gguf(path)[0])
