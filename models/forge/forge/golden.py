"""Golden files: small inputs and what the PyTorch side makes of them, in float32.

`tiny`: a random model of two layers with a low-rank change, an address and beacons of mixed ratios,
with every layer's un-rotated keys and values. `real`: a trained memory over its base, a few rows.
A decoder that is woven elsewhere must give the same numbers to 1e-4.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from . import export, gist, layout, tokens, weights
from .data.samples import memory_prompt
from .gist import ADDRESS
from .layout import BLOCK, Sizes, Step
from .model import Decoder, batch_layouts, heads, project, rms
from .net import Net

TINY = weights.Config(2, 32, 4, 2, 8, 48, 128, 10000.0, 1e-5, 2048)
STEPS = [
    Step(0, 128), Step(128, 256, first=64), Step(256, 320, first=192, recalled=(0, 2)),
    Step(320, 340, first=256, recalled=(1,), branch=True), Step(340, 352, first=256, branch=True),
]  # fmt: skip
RATIOS = [4, 8, 16, 32, 8]
SIZES = Sizes(rows=352, beacons=40, memory=448)


def write_hf(w: weights.Weights, folder: Path) -> None:
    """A model as a Hugging Face folder (`config.json`, `model.safetensors`)."""
    c = w.config
    t = {"model.embed_tokens.weight": w.embedding, "model.norm.weight": w.norm}
    for i in range(c.layers):
        t[f"model.layers.{i}.input_layernorm.weight"] = w.ln1[i]
        t[f"model.layers.{i}.post_attention_layernorm.weight"] = w.ln2[i]
        for m, name in export.HF.items():
            t[f"model.layers.{i}.{name}.weight"] = w.matrices[m][i]
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in t.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "num_hidden_layers": c.layers, "hidden_size": c.width, "num_attention_heads": c.heads,
        "num_key_value_heads": c.kv_heads, "head_dim": c.head_dim, "intermediate_size": c.hidden,
        "vocab_size": c.vocab, "rms_norm_eps": c.norm_eps, "rope_theta": c.rope_theta,
        "max_position_embeddings": c.positions, "tie_word_embeddings": True,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


@torch.no_grad()
def tiny(out: Path) -> None:
    """Writes the random model, its memory, `golden.safetensors` and `short.safetensors` into `out`."""
    torch.manual_seed(11)
    w = weights.random(TINY, 11)
    write_hf(w, out)
    decoder = Decoder(w)
    net = Net(decoder, rank=2, address_layer=1, slots=6, width=5)
    for p in net.lora.parameters():
        p.normal_(std=0.15)
    net.beacons.qkv.add_(0.1 * torch.randn_like(net.beacons.qkv))
    net.beacons.embedding.normal_()
    torch.manual_seed(12)
    for p in net.gist.parameters():
        p.add_(0.3 * torch.randn_like(p))
    net.has_gist = True
    export.write(net.tensors(), out, dtype=torch.float32)
    lay = layout.build(STEPS, np.array(RATIOS), SIZES)
    tok = np.random.default_rng(2).integers(0, TINY.vocab, SIZES.rows)
    batch = batch_layouts([lay.arrays()], tok[None])
    layers, every = net.lora.merged(decoder), tuple(range(TINY.layers))
    hidden, seen = decoder.run(
        batch, layers, net.beacons.qkv.data, net.beacons.embedding.data, taps=every
    )
    made = {k: v[0].to(torch.int32) for k, v in batch.items() if v.numel()}
    made["ratios"] = torch.tensor(RATIOS, dtype=torch.int32)
    steps = [[s.start, s.end, s.first, int(s.branch)] for s in STEPS]
    made["steps"] = torch.tensor(steps, dtype=torch.int32)
    made["logits"] = decoder.logits(hidden[0, : SIZES.rows])
    for i in every:
        ln1, qkv, *_ = layers.layer(i)
        h = rms(seen[i], ln1, TINY.norm_eps)
        _, k, v = heads(project(h, qkv, net.beacons.qkv[i], SIZES.rows), TINY)
        made[f"key.{i}"], made[f"value.{i}"] = k[0].contiguous(), v[0].contiguous()
    x = seen[1][:, : SIZES.rows]
    made["memory_key"] = net.address.keys(x[:, : 5 * BLOCK])[0]
    mask = torch.ones(1, 20, dtype=torch.bool)
    made["memory_query"] = net.address.queries(x[:, 320:340], mask)[0]
    save_file({k: v.contiguous() for k, v in made.items()}, out / "golden.safetensors")
    ids = np.random.default_rng(3).integers(0, TINY.vocab, 256)
    save_file(with_beacons(net, ids, every), out / "short.safetensors")
    save_file(with_gist(net, ids, every), out / "gist_pass.safetensors")


SHORT = ((64, 8), (45, 4), (37, 16), (46, 32))
"""Blocks of the first step, as the runtime cuts them: (tokens, ratio). The last groups are shorter."""
SHOWN = (0, 14, 29)
"""Layers whose beacons' keys and values are written."""


def with_beacons(net: Net, ids: np.ndarray, shown: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Two steps: tokens with beacons of every ratio, then tokens that see sinks and beacons alone.

    `ids` [256]. Step one: rows 0..192 in the blocks of `SHORT`, and their beacons. Step two: rows
    192..256; its window is the 4 sinks and all beacons of step one, re-laid at `window_pos`.
    """
    d, first = net.decoder, sum(n for n, _ in SHORT)
    last, ratio, start = [], [], 0
    for tokens_, r in SHORT:
        ends = list(range(start + r - 1, start + tokens_, r))
        if ends[-1] != start + tokens_ - 1:
            ends.append(start + tokens_ - 1)
        last, ratio, start = last + ends, ratio + [r] * len(ends), start + tokens_
    n, b = len(ids), len(last)
    lay = layout.build(
        [Step(0, first), Step(first, n, first=first)], np.zeros(first // BLOCK, int),
        Sizes(rows=n, beacons=b, memory=b + 4), beacons=(np.array(last), np.array(ratio)),
    )  # fmt: skip
    batch = batch_layouts([lay.arrays()], ids[None])
    layers = net.lora.merged(d)
    hidden, seen = d.run(
        batch, layers, net.beacons.qkv.data, net.beacons.embedding.data, taps=shown
    )
    rows = torch.tensor([first - 1, first, n - 1])
    made = {
        "tokens": torch.from_numpy(ids), "blocks": torch.tensor([x for x, _ in SHORT]),
        "last": torch.tensor(last), "ratio": torch.tensor([layout.RATIOS.index(x) for x in ratio]),
        "pos": batch["pos"][0], "window_source": batch["source"][0], "window_pos": batch["slot_pos"][0],
        "logit_rows": rows,
    }  # fmt: skip
    made = {k: v.to(torch.int32) for k, v in made.items()}
    made["logits"] = d.logits(hidden[0, rows])
    for i in shown:
        ln1, qkv, *_ = layers.layer(i)
        h = rms(seen[i][:, n:], ln1, d.config.norm_eps)
        _, k, v = heads(h @ net.beacons.qkv[i].T, d.config)
        made[f"key.{i}"], made[f"value.{i}"] = k[0].contiguous(), v[0].contiguous()
    return {f"beacons.{k}": v for k, v in made.items()}


GIST_STEPS = (
    Step(0, 192), Step(192, 224, first=128, folded=1), Step(224, 256, first=192, folded=2),
)  # fmt: skip
GIST_RATIOS = (4, 8, 16)
"""Two folds (16 beacons, then 8), each seen by one step beside the beacons that stay."""


def with_gist(net: Net, ids: np.ndarray, shown: tuple[int, ...], rows=(191, 192, 223, 224, 255)) -> dict:
    """Folds for themselves, and a pass of three steps behind sinks, gist and beacons.

    `ids` [256]. The steps are those of `GIST_STEPS`. The folds for themselves read pieces of the
    pass's beacons; all values are of the layers `shown`.
    """
    d, n, g = net.decoder, len(ids), net.gist.slots
    sizes = Sizes(rows=n, beacons=28, memory=(4 + g) * 2 + 12, folds=2, gist=g)
    lay = layout.build(list(GIST_STEPS), np.array(GIST_RATIOS), sizes)
    batch = batch_layouts([lay.arrays()], ids[None])
    layers = net.lora.merged(d)
    hidden, seen = d.run(
        batch, layers, net.beacons.qkv.data, net.beacons.embedding.data, taps=shown, folding=net.gist
    )
    keys, values = [], []
    for i in shown:
        h = rms(seen[i][:, n:], layers.layer(i)[0], d.config.norm_eps)
        _, k, v = heads(h @ net.beacons.qkv[i].T, d.config)
        keys.append(k[0])
        values.append(v[0])
    k, v = torch.stack(keys), torch.stack(values)
    made = {"layers": torch.tensor(shown, dtype=torch.int32)}
    generator = torch.Generator().manual_seed(5)
    asked = torch.nn.functional.normalize(torch.randn(2, ADDRESS, generator=generator), dim=-1)
    nothing = torch.zeros(ADDRESS)
    folds = (
        (True, slice(0, 16), nothing), (False, slice(16, 24), asked[0]), (False, slice(24, 25), nothing),
        (True, slice(6, 20), asked[1]),
    )  # fmt: skip
    state = None
    for i, (fresh, part, question) in enumerate(folds):
        state = fold_once(net.gist, shown, None if fresh else state, k[:, :, part], v[:, :, part], question)
        next_key, next_value = state.split(d.config.head_dim, -1)
        made |= {
            f"fold{i}.fresh": torch.tensor([int(fresh)], dtype=torch.int32), f"fold{i}.question": question,
            f"fold{i}.beacon_key": k[:, :, part], f"fold{i}.beacon_value": v[:, :, part],
            f"fold{i}.next_key": next_key, f"fold{i}.next_value": next_value,
        }  # fmt: skip
    counts = [0, 4 + g + 8, 4 + g + 4]
    made |= {
        "pass.tokens": torch.from_numpy(ids).to(torch.int32), "pass.ratios": torch.tensor(GIST_RATIOS, dtype=torch.int32),
        "pass.steps": torch.tensor([[s.start, s.end, s.first, s.folded] for s in GIST_STEPS], dtype=torch.int32),
        "pass.pos": batch["pos"][0].to(torch.int32), "pass.key": k, "pass.value": v,
        "pass.logit_rows": torch.tensor(rows, dtype=torch.int32), "pass.logits": d.logits(hidden[0, list(rows)]),
    }  # fmt: skip
    for i in (1, 2):
        part = slice(sum(counts[:i]), sum(counts[: i + 1]))
        made[f"pass.window_source.{i}"] = batch["source"][0, part].to(torch.int32)
        made[f"pass.window_pos.{i}"] = batch["slot_pos"][0, part].to(torch.int32)
    return {f"gist.{name}": t.detach().contiguous().clone() for name, t in made.items()}


def fold_once(folding: gist.Gist, shown, state, key, value, question) -> torch.Tensor:
    """One fold of the layers `shown`: [L, H, G, E] (None: afresh) and beacons [L, H, B, D]."""
    out = []
    for j, i in enumerate(shown):
        weights = folding.unbind()[i]
        looked, taken = gist.prepare(torch.cat([key[j], value[j]], -1)[None], weights)
        x = weights[0][None] if state is None else state[j][None]
        all_ = torch.ones(1, key.shape[2], dtype=torch.bool)
        out.append(gist.step(x, looked, taken, all_, state is None, weights, question[None])[0])
    return torch.stack(out)


@torch.no_grad()
def real(model: Path, memory: Path, out: Path, tokenizer: Path | None = None) -> None:
    """A plain causal pass of a trained memory: logits of two rows, block keys and a query."""
    decoder = Decoder(weights.load(model))
    net, tokenizer_ = export.net_of(decoder, memory), tokens.load(tokenizer or model)
    text = (
        "The harbour office opened at dawn. 2024-03-02 06:14:55 INFO gate[212]: badge 4471 opened "
        "door 9\nThe gate code of the northern pier is 58-213, and Ruth Keller keeps the keys. "
    )
    context = tokenizer_.encode(text * 6, add_special_tokens=False).ids[: 3 * BLOCK]
    question = "What is the gate code of the northern pier?"
    prompt = memory_prompt(question)
    head = tokenizer_.encode(prompt[: prompt.index(question)], add_special_tokens=False).ids
    asked = tokenizer_.encode(question, add_special_tokens=False).ids
    tail = tokenizer_.encode(prompt[prompt.index(question) + len(question) :], add_special_tokens=False).ids  # fmt: skip
    ids = torch.tensor([context + head + asked + tail])
    layers, layer = net.lora.merged(decoder), net.address.layer
    hidden, seen = decoder.plain(ids, layers, taps=(layer,))
    base, _ = decoder.plain(ids)
    start = len(context) + len(head)
    span = seen[layer][:, start : start + len(asked)]
    made = {
        "tokens": ids[0].to(torch.int32),
        "query_span": torch.tensor([start, start + len(asked)], dtype=torch.int32),
        "logits": decoder.logits(hidden[0, [len(context) - 1, -1]]),
        "logits_base": decoder.logits(base[0, [len(context) - 1, -1]]),
        "memory_key": net.address.keys(seen[layer][:, : len(context)])[0],
        "memory_query": net.address.queries(span, torch.ones(1, len(asked), dtype=torch.bool))[0],
    }
    if (memory / export.BEACON_FILE).exists():
        more = tokenizer_.encode(text * 8, add_special_tokens=False).ids[:256]
        made |= with_beacons(net, np.array(more), SHOWN)
        if net.has_gist:
            made |= with_gist(net, np.array(more), SHOWN[::2], rows=(255,))
    answer = decoder.generate([ids[0].tolist()], 16, tokenizer_.token_to_id("<|im_end|>"), layers)
    print("answer:", tokenizer_.decode(answer[0]), "| address score of the blocks:",
          net.address.score(made["memory_query"][None], made["memory_key"])[0].tolist())  # fmt: skip
    save_file({k: v.contiguous() for k, v in made.items()}, out)
