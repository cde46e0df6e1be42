"""`python -m forge.smoke`: a tiny train-export-read round trip on a random model, for CI."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from . import weights
from .adapt import adapt
from .golden import write_hf


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
    w.embedding *= 0.1
    write_hf(w, folder)


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
