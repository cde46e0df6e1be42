"""`forge adapt`: a memory for any model of the Llama family, end to end, small enough for a CPU."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

from . import export, replay, tokens, train, weights
from .data.facts import Grammar, words_from
from .data.wordings import TRAIN
from .model import Decoder


def made_up_text(seed: int, lines: int = 3000) -> str:
    """Text of sentences and log lines, for when none is given."""
    g = Grammar(random.Random(seed), TRAIN)
    out = []
    for _ in range(lines):
        if g.r.random() < 0.5:
            a, b, c = g.word("adj"), g.word("low"), g.word("first")
            out.append(f"One day {c} saw a {a} {b} near the {g.word('low')} and was very happy.")
        else:
            out += g.item().lines
    return "\n".join(out) + "\n"


def adapt(model: Path, out: Path, steps: int, text: Path | None = None, rank: int = 4) -> dict:
    """Trains `steps` steps, exports into `out`, reads the files back and returns what was seen."""
    decoder = Decoder(weights.load(model))
    tokenizer, config = tokens.load(model), decoder.config
    body = text.read_text(errors="replace") if text else made_up_text(0)
    texts = {"text": body}
    out.mkdir(parents=True, exist_ok=True)
    rows, pairs = replay.build(decoder, tokenizer, texts, 12, 0, new=24)
    recipe = train.Recipe(
        rows=512, beacons=64, memory=768, batch=2, rank=rank, loss_rows=192, replay_chat=1,
        address_layer=config.layers * 3 // 5, replay_text=1, branch_rows=224, scale=0.25,
        warm_up=5, seconds=1e9, folds=4, asks=2,
    )  # fmt: skip
    path = model / "tokenizer.json" if model.is_dir() else model
    stream = train.Stream(texts, words_from(body), path, recipe, pairs, rows, seed=1)
    trainer = train.Trainer(decoder, recipe, compiled=False)
    seen: list[float] = []
    for batch in train.loader(stream, 0, pin=False):
        if not trainer.net.has_gist:
            trainer.net.start_gist(batch["tok"][:4, :256])
        losses = trainer.train_step(batch)
        seen.append(float(losses["memory"].detach()))
        if len(seen) >= steps:
            break
    trainer.save(out / "checkpoint.pt")
    sizes = export.write(trainer.net.tensors(), out)
    weights_file = model if model.is_file() else model / "model.safetensors"
    base = {"file": weights_file.name}
    if weights_file.exists():
        base["sha256"] = hashlib.sha256(weights_file.read_bytes()).hexdigest()
    card = export.card(trainer.net.tensors(), out, recipe.address_layer, base)
    (out / export.CARD_FILE).write_text(json.dumps(card, indent=1) + "\n")
    again = export.net_of(decoder, out)
    drift = max(
        float((a.detach() - b.detach()).abs().max())
        for a, b in zip(again.tensors().values(), trainer.net.tensors().values())
    )
    tail = max(1, min(10, len(seen) // 4))
    return {
        "steps": len(seen),
        "loss at first": sum(seen[:tail]) / tail,
        "loss at last": sum(seen[-tail:]) / tail,
        "bytes": sizes,
        "largest difference after reading the files": drift,
    }
