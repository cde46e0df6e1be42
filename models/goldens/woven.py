#!/usr/bin/env python3
"""Makes ../tests/data/woven: a random model with a random trained memory, and what forge makes of it.

    pip install -e ../forge
    woven.py

`loop.golden.safetensors`: context steps that forget, recalled blocks, two branches, one ratio a step or two.
`mixed.golden.safetensors`: all ratios among the beacons of one step.
"""
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from forge import export, golden, layout, weights
from forge.layout import RATIOS, Sizes, Step
from forge.model import Decoder, batch_layouts, heads, project, rms
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "woven"

MIXED = (
    [Step(0, 256), Step(256, 300, first=256), Step(300, 320, first=256, recalled=(3,), branch=True)],
    [4, 8, 16, 32],
    Sizes(rows=320, beacons=32, memory=512),
)


@torch.no_grad()
def run(steps, ratios, sizes, net, decoder):
    """As `forge.golden.tiny`, for other steps."""
    c = decoder.config
    lay = layout.build(steps, np.array(ratios), sizes)
    tok = np.random.default_rng(5).integers(0, c.vocab, sizes.rows)
    batch = batch_layouts([lay.arrays()], tok[None])
    layers, every = net.lora.merged(decoder), tuple(range(c.layers))
    hidden, seen = decoder.run(batch, layers, net.beacons.qkv.data, net.beacons.embedding.data, taps=every)
    made = {k: v[0].to(torch.int32) for k, v in batch.items() if v.numel()}
    made["ratios"] = torch.tensor(ratios, dtype=torch.int32)
    made["steps"] = torch.tensor([[s.start, s.end, s.first, int(s.branch)] for s in steps], dtype=torch.int32)
    made["logits"] = decoder.logits(hidden[0, : sizes.rows])
    for i in every:
        ln1, qkv, *_ = layers.layer(i)
        h = rms(seen[i], ln1, c.norm_eps)
        _, k, v = heads(project(h, qkv, net.beacons.qkv[i], sizes.rows), c)
        made[f"key.{i}"], made[f"value.{i}"] = k[0].contiguous(), v[0].contiguous()
    return made


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    golden.tiny(OUT)
    (OUT / "golden.safetensors").rename(OUT / "loop.golden.safetensors")
    decoder = Decoder(weights.load(OUT))
    net = export.net_of(decoder, OUT, 1)
    made = run(*MIXED, net, decoder)
    save_file({k: v.contiguous() for k, v in made.items()}, OUT / "mixed.golden.safetensors")
    sha = lambda name: hashlib.sha256((OUT / name).read_bytes()).hexdigest()
    card = {
        "base": {"file": "model.safetensors", "sha256": sha("model.safetensors")},
        "files": {n: {"sha256": sha(n)} for n in ("memory.safetensors", "beacons.safetensors")},
        "lora": {"scale": 1.0},
        "address": {"layer": 1, "dim": 128, "keys_per_block": 4, "block": 64},
        "prompt": {"system": "Answer from memory.", "absent": "Not in memory."},
    }
    (OUT / "memory.json").write_text(json.dumps(card, indent=1) + "\n")


main()
