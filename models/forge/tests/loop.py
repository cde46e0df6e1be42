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


def fold(state, beacons, weights, fresh, question=None):
    """One fold, slot by slot: `state` [H, G, E] and `beacons` (key, value) [H, d] -> [H, G, E]."""
    _, scale, query, slot, key, value, gate, gate_bias, asked = weights
    out = []
    for h in range(state.shape[0]):
        b = torch.stack([torch.cat([k[h], v[h]]) for k, v in beacons])
        looked, taken = (b * scale[h]) @ key[h], b + (b * scale[h]) @ value[h]
        rows = []
        for g in range(state.shape[1]):
            x = state[h, g]
            look = (x * scale[h]) @ query[h] + slot[h, g]
            if question is not None:
                look = look + question @ asked[h]
            a = (looked @ look / looked.shape[1] ** 0.5).softmax(0)
            c = a @ taken
            z = torch.sigmoid(torch.cat([x * scale[h], c * scale[h]]) @ gate[h] + gate_bias[h])
            rows.append(c if fresh else (1 - z) * x + z * c)
        out.append(torch.stack(rows))
    return torch.stack(out)


def slots(state, config):
    """A state's slots as (key, value) [H, d]."""
    return [(x[:, : config.head_dim], x[:, config.head_dim :]) for x in state.unbind(1)]


def window(step, state, ratios, context_end, sinks, config, gist=()):
    """Memory region and recent region as (un-rotated key, value, position)."""
    token_kv, beacon_kv = state
    items = []
    if step.first:
        items += [token_kv[i] for i in range(sinks)]
        items += gist
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


def gist_of(step, layer, held, beacon_kv, folding, questions, config):
    """The gist's slots that a step sees in one layer. `held`: {layer: (state, folded blocks)}."""
    if folding is None:
        return []
    weights = folding.unbind()[layer]
    state, before = held.get(layer, (None, 0))
    left = [kv for b in range(before, step.folded) for kv in beacon_kv.get(b, [])]
    if left:
        state = fold(weights[0] if state is None else state, left, weights, state is None)
    held[layer] = (state, max(before, step.folded))
    own = [kv for b in step.asked for kv in beacon_kv.get(b, [])]
    if own:
        return slots(fold(weights[0], own, weights, True, questions[step]), config)
    return [] if state is None else slots(state, config)


def run(decoder, steps, ratios, tokens, beacon_qkv, beacon_embedding, sinks=4, cuts=None, folding=None, questions=None):
    """Hidden states of all tokens {row: [D]} after the last layer.

    `folding`: the gist's weights; `questions`: {step: address}.
    """
    c = decoder.config
    context_end = max(s.end for s in steps if not s.branch)
    state = [({}, {}) for _ in range(c.layers)]
    hidden, held = {}, {}
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
            slots_ = gist_of(step, layer, held, state[layer][1], folding, questions, c)
            before = window(step, state[layer], ratios, context_end, sinks, c, slots_)
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
