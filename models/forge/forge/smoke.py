"""`python -m forge.smoke`: a tiny train-export-read round trip on a random model, for CI."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from . import weights
from .adapt import adapt
from .export import HF


def write_model(folder: Path) -> None:
    """A random model of two layers with a byte tokenizer, as a Hugging Face folder."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {c: i for i, c in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    c = weights.Config(2, 32, 4, 2, 8, 48, len(vocab), 10000.0, 1e-5, 1024)
    w = weights.random(c, 1)
    names = {"model.embed_tokens.weight": w.embedding * 0.1, "model.norm.weight": w.norm}
    for i in range(c.layers):
        names[f"model.layers.{i}.input_layernorm.weight"] = w.ln1[i]
        names[f"model.layers.{i}.post_attention_layernorm.weight"] = w.ln2[i]
        for m, name in HF.items():
            names[f"model.layers.{i}.{name}.weight"] = w.matrices[m][i]
    save_file({k: np.ascontiguousarray(v) for k, v in names.items()}, folder / "model.safetensors")
    config = {
        "num_hidden_layers": c.layers, "hidden_size": c.width, "num_attention_heads": c.heads,
        "num_key_value_heads": c.kv_heads, "intermediate_size": c.hidden, "vocab_size": c.vocab,
        "rms_norm_eps": c.norm_eps, "max_position_embeddings": c.positions, "rope_theta": c.rope_theta,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))


def main() -> int:
    """0 when training lowers the loss and the files read back equal up to float16."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        model.mkdir()
        write_model(model)
        seen = adapt(model, Path(folder) / "out", steps=24)
    print(json.dumps(seen, indent=1))
    good = seen["loss at last"] < seen["loss at first"]
    return 0 if good and seen["largest difference after reading the files"] < 2e-2 else 1


if __name__ == "__main__":
    sys.exit(main())
