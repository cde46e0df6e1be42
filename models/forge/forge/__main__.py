"""Commands: pack, synonyms, replay, train, eval, export, mix, golden, adapt. `python -m forge COMMAND --help`."""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch

from . import evaluate, export, parallel, replay, tokens, train, weights
from .data import corpus, facts, mined
from .model import Decoder
from .net import Net


def device_and_type() -> tuple[str, torch.dtype]:
    """bfloat16 on a GPU, float32 elsewhere."""
    return ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)


def decoder_of(model: Path) -> Decoder:
    """The base decoder of a model, on the best device."""
    torch.set_float32_matmul_precision("high")
    device, dtype = device_and_type()
    return Decoder(weights.load(model), device, dtype)


def command_synonyms(a) -> None:
    """Writes the synonyms of common words, from WordNet's files, beside the packed texts."""
    prose = "".join(corpus.read(a.text, n, bytes_max=9_000_000) for n in ("books", "wikipedia"))
    counts = Counter(re.findall(r"[a-z]{3,12}", prose))
    same = mined.synonyms(a.wordnet, {w for w, n in counts.items() if n >= 25})
    (a.text / "synonyms.json").write_text(json.dumps(same))


def command_pack(a) -> None:
    """Cuts and packs the corpus."""
    corpus.pack(a.corpus, a.text)


def command_replay(a) -> None:
    """Samples answers of the base to ordinary prompts."""
    decoder, tokenizer = decoder_of(a.model), tokens.load(a.tokenizer or a.model)
    texts = {n: corpus.read(a.text, n, bytes_max=2_000_000) for n in corpus.names()}
    rows, pairs = replay.build(decoder, tokenizer, texts, a.count, a.seed)
    if a.invent:
        newline = tokenizer.encode("\n", add_special_tokens=False).ids
        turns = replay.invent(decoder, tokenizer, a.invent, a.seed)
        rows = np.concatenate([rows, replay.pack(turns, newline)])
    replay.save(a.replay, rows, pairs)
    print(f"{len(rows)} rows of replay, {len(pairs)} short pairs")


def recipe_of(a) -> train.Recipe:
    """The default recipe with the numbers that were given."""
    recipe = train.Recipe()
    given = {f.name: getattr(a, f.name) for f in fields(recipe) if getattr(a, f.name) is not None}
    return replace(recipe, **given)


def command_train(a) -> None:
    """Trains for `--piece` seconds, from the checkpoint when there is one; under torchrun on several GPUs."""
    rank, world = parallel.start()
    recipe = recipe_of(a)
    decoder = decoder_of(a.model)
    trainer = train.Trainer(decoder, recipe, compiled=decoder.device == "cuda")
    if a.checkpoint.exists():
        trainer.resume(a.checkpoint)
    elif a.start:
        trainer.start_from(a.start)
    stream = train.prepare(
        a.text, recipe, a.tokenizer or a.model, a.replay, (a.seed + trainer.step) * world + rank, a.bytes_max
    )
    batches = train.loader(stream, a.workers, pin=decoder.device == "cuda")
    trainer.run(batches, a.piece, a.checkpoint, a.updates)
    if rank == 0:
        print(f"{trainer.step} steps, {trainer.tokens / 1e6:.1f}M tokens, {trainer.spent:.0f} s")
    parallel.stop()


def command_eval(a) -> None:
    """Writes all tables of a checkpoint or of exported files."""
    decoder, tokenizer = decoder_of(a.model), tokens.load(a.tokenizer or a.model)
    net = export.net_of(decoder, a.memory)
    if decoder.device == "cuda":
        decoder.compile()
    texts = {n: corpus.read(a.text, n, "train", 3_000_000) for n in ("books", "wikipedia")}
    words = facts.words_from(texts["books"] + texts["wikipedia"])
    evaluate.run(
        net, a.text, words, tokenizer, a.out, decoder.device == "cuda", a.contexts, a.blocks,
        a.asked, a.loss_rows, not a.no_beacons, a.large, tuple(a.part or evaluate.PARTS),
        tuple(a.column or ()),
    )  # fmt: skip


def command_export(a) -> None:
    """Writes the files of a memory from a checkpoint, and a card that says how they apply."""
    state = torch.load(a.checkpoint, map_location="cpu", weights_only=False)
    export.write(state["tensors"], a.out, beacons=state["recipe"]["beacons"] > 0)
    done = {k: state[k] for k in ("step", "spent", "tokens")} | {"recipe": state["recipe"]}
    card = export.card(state["tensors"], a.out, state["recipe"]["address_layer"], {}, {"training": done})
    (a.out / export.CARD_FILE).write_text(json.dumps(card, indent=1) + "\n")


def command_mix(a) -> None:
    """Adds the low-rank changes of exported memories: `--memory FOLDER:WEIGHT` (one: cuts its rank)."""
    parts = [m.rsplit(":", 1) for m in a.memory]
    print(export.mix([(Path(f), float(w)) for f, w in parts], a.rank, a.out))


def command_golden(a) -> None:
    """Writes the golden files: the tiny model's, and a trained memory's when one is given."""
    from . import golden

    if a.tiny:
        golden.tiny(a.tiny)
    if a.memory:
        golden.real(a.model, a.memory, a.memory / "golden.safetensors", a.tokenizer)


def command_adapt(a) -> None:
    """Trains and exports a small memory for any model of the Llama family."""
    from .adapt import adapt

    print(json.dumps(adapt(a.model, a.out, a.steps, a.text), indent=1))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    main = argparse.ArgumentParser(prog="forge", description="Trains the memory of a model.")
    sub = main.add_subparsers(dest="command", required=True)

    def command(name: str, function, *paths: str):
        p = sub.add_parser(name, help=function.__doc__)
        p.set_defaults(function=function)
        for path in paths:
            p.add_argument("--" + path, type=Path, required=not path == "tokenizer")
        return p

    command("pack", command_pack, "corpus", "text")
    command("synonyms", command_synonyms, "wordnet", "text")
    p = command("replay", command_replay, "model", "tokenizer", "text", "replay")
    p.add_argument("--count", type=int, default=6144)
    p.add_argument("--invent", type=int, default=6144, help="turns that the base makes up itself")
    p.add_argument("--seed", type=int, default=1)
    p = command("train", command_train, "model", "tokenizer", "text", "replay", "checkpoint")
    p.add_argument("--piece", type=float, default=540.0, help="seconds of this piece")
    p.add_argument("--updates", type=int, default=0, help="stop after so many updates")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--workers", type=int, default=14)
    p.add_argument("--bytes_max", type=int)
    p.add_argument("--start", "--initial", type=Path, help="folder of an exported memory to start from (--initial under torchrun, which takes --start for its own)")
    for f in fields(train.Recipe):
        kind = int if f.type == "int" else float
        p.add_argument("--" + f.name, type=kind)
    p = command("eval", command_eval, "model", "tokenizer", "text", "memory", "out")
    p.add_argument("--part", action="append", choices=evaluate.PARTS, help="a table (all when left out)")
    p.add_argument("--column", action="append", help="a column of facts (all when left out)")
    for name, value in (("contexts", 64), ("blocks", 20480), ("large", 0), ("asked", 300), ("loss_rows", 16)):
        p.add_argument("--" + name, type=int, default=value)
    p.add_argument("--no_beacons", action="store_true", help="the memory has no beacons")
    command("export", command_export, "checkpoint", "out")
    p = command("mix", command_mix, "out")
    p.add_argument("--memory", action="append", required=True)
    p.add_argument("--rank", type=int, default=32)
    p = command("golden", command_golden)
    for name in ("tiny", "model", "memory", "tokenizer"):
        p.add_argument("--" + name, type=Path)
    p = command("adapt", command_adapt, "model", "out")
    p.add_argument("--steps", type=int, default=60)
    p.add_argument("--text", type=Path, help="a text file to train on; a made-up one when left out")
    return main


def main() -> None:
    """Runs one command."""
    args = parser().parse_args()
    args.function(args)


if __name__ == "__main__":
    main()
