"""An independent truth for the exact pass: the runtime's loop, one step after the other.

It keeps un-rotated keys and values a layer, lays the window of every step from canonical copies and
lets each query attend to an explicit list of keys. Written without looking at orders or intervals.
"""

import torch
import torch.nn.functional as F

from forge.layout import BLOCK, RATIOS
from forge.model import rms


def rotate(x, pos, config):
    """x [heads, d] rotated to one position."""
    half = config.head_dim // 2
    freq = config.rope_theta ** (-torch.arange(half, dtype=x.dtype) / half)
    cos, sin = torch.cos(pos * freq), torch.sin(pos * freq)
    a, b = x[:, :half], x[:, half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], 1)


def attention(q, k, v, config):
    """q [H, d] over rotated keys and values [n, KV, d]."""
    group = config.heads // config.kv_heads
    out = []
    for h in range(config.heads):
        score = (k[:, h // group] @ q[h]) / config.head_dim**0.5
        out.append(score.softmax(0) @ v[:, h // group])
    return torch.cat(out)


def window(step, state, ratios, context_end, sinks, config):
    """Memory region and recent region as (un-rotated key, value, position)."""
    token_kv, beacon_kv = state
    items = []
    if step.first:
        items += [token_kv[i] for i in range(sinks)]
        for block in range(step.folded, step.first // BLOCK):
            items += beacon_kv.get(block, [])
        for block in step.recalled:
            items += [token_kv[i] for i in range(block * BLOCK, (block + 1) * BLOCK)]
    start = step.first - len(items)
    out = [(k, v, start + i) for i, (k, v) in enumerate(items)]
    last = context_end if step.branch else step.start
    return out + [(*token_kv[i], i) for i in range(step.first, last)]


def ends_group(row, ratio, cut):
    """Is `row` the last of a group of `ratio` tokens, counted anew from each cut of its block?"""
    at = row % BLOCK
    if cut and at < cut:
        return (at + 1) % ratio == 0 or at + 1 == cut
    return (at - cut + 1) % ratio == 0 or at + 1 == BLOCK


def run(decoder, steps, ratios, tokens, beacon_qkv, beacon_embedding, sinks=4, cuts=None):
    """Hidden states of all tokens {row: [D]} after the last layer."""
    c = decoder.config
    context_end = max(s.end for s in steps if not s.branch)
    state = [({}, {}) for _ in range(c.layers)]
    hidden = {}
    for step in steps:
        rows = []  # (row, is beacon, x, position)
        for row in range(step.start, step.end):
            pos = context_end + row - step.start if step.branch else row
            rows.append((row, False, decoder.embedding[tokens[row]], pos))
            ratio = 0 if step.branch else int(ratios[row // BLOCK])
            if ratio and ends_group(row, ratio, 0 if cuts is None else int(cuts[row // BLOCK])):
                rows.append((row, True, beacon_embedding[RATIOS.index(ratio)], pos))
        for layer in range(c.layers):
            ln1, qkv, wo, ln2, gate_up, down = decoder.layers.layer(layer)
            before = window(step, state[layer], ratios, context_end, sinks, c)
            old_k = [rotate(k, p, c) for k, _, p in before]
            old_k = torch.stack(old_k) if before else torch.zeros(0, c.kv_heads, c.head_dim).to(ln1)
            old_v = torch.stack([v for _, v, _ in before]) if before else old_k
            own, after, new_tokens, new_beacons = [], [], {}, {}
            for row, is_beacon, x, pos in rows:
                packed = rms(x, ln1, c.norm_eps) @ (beacon_qkv[layer] if is_beacon else qkv).T
                parts = packed.split([c.heads * c.head_dim] + [c.kv_heads * c.head_dim] * 2)
                q, k, v = (p.view(-1, c.head_dim) for p in parts)
                own.append((rotate(k, pos, c), v, is_beacon))
                if is_beacon:
                    new_beacons.setdefault(row // BLOCK, []).append((k, v))
                else:
                    new_tokens[row] = (k, v)
                seen = [(a, b) for a, b, beacon in own if is_beacon or not beacon]
                keys = torch.cat([old_k, torch.stack([a for a, _ in seen])])
                values = torch.cat([old_v, torch.stack([b for _, b in seen])])
                o = attention(rotate(q, pos, c), keys, values, c)
                y = x + o @ wo.T
                gate, up = (rms(y, ln2, c.norm_eps) @ gate_up.T).chunk(2)
                after.append((row, is_beacon, y + (F.silu(gate) * up) @ down.T, pos))
            rows = after
            if not step.branch:
                state[layer][0].update(new_tokens)
                for block, kv in new_beacons.items():
                    state[layer][1].setdefault(block, []).extend(kv)
        hidden |= {row: x for row, is_beacon, x, _ in rows if not is_beacon}
    return hidden
