"""The decoder in PyTorch, over the keys that a `layout.Layout` lays.

Nothing here trains anything: `Decoder.run` takes the weights as tensors, so that a trainer may pass
merged ones. Shapes: B samples, N tokens, T = N + beacons, K keys.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from . import gist
from .weights import Config, MATRICES, Weights


@dataclass
class Layers:
    """Weights of all layers, stacked: ln1, ln2 [L, D]; qkv [L, Q+2KV, D]; wo; gate_up; down."""

    ln1: torch.Tensor
    qkv: torch.Tensor
    wo: torch.Tensor
    ln2: torch.Tensor
    gate_up: torch.Tensor
    down: torch.Tensor

    def layer(self, i: int) -> tuple[torch.Tensor, ...]:
        """Weights of one layer, in the order that `decode_layer` takes them."""
        return tuple(t[i] for t in (self.ln1, self.qkv, self.wo, self.ln2, self.gate_up, self.down))

    def unbind(self) -> list[tuple[torch.Tensor, ...]]:
        """Weights of every layer (one autograd node a tensor)."""
        fields = (self.ln1, self.qkv, self.wo, self.ln2, self.gate_up, self.down)
        return list(zip(*(t.unbind(0) for t in fields)))


def pack(matrices: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """(qkv, wo, gate_up, down) from the seven matrices [L, out, in]."""
    qkv = torch.cat([matrices["wq"], matrices["wk"], matrices["wv"]], 1)
    return qkv, matrices["wo"], torch.cat([matrices["gate"], matrices["up"]], 1), matrices["down"]


def rms(x: torch.Tensor, weight: torch.Tensor | None, eps: float) -> torch.Tensor:
    """RMS norm, computed in at least float32."""
    wide = x if x.dtype == torch.float64 else x.float()
    y = (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)
    return y if weight is None else y * weight


def angles(pos: torch.Tensor, config: Config, dtype=torch.float32) -> tuple[torch.Tensor, ...]:
    """(cos, sin) [B, 1, n, head_dim / 2] of positions [B, n]."""
    d = config.head_dim
    steps = torch.arange(0, d, 2, device=pos.device, dtype=dtype) / d
    angle = pos[:, None, :, None].to(dtype) * torch.pow(config.rope_theta, -steps)
    return angle.cos(), angle.sin()


def rope(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotates [B, heads, n, head_dim]; pairs are (i, i + head_dim / 2)."""
    a, b = x.to(cos.dtype).chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)


def heads(qkv: torch.Tensor, c: Config) -> tuple[torch.Tensor, ...]:
    """Splits packed projections [B, n, Q+2KV] into q, k, v [B, heads, n, head_dim]."""
    b, n, _ = qkv.shape
    kv = c.kv_heads * c.head_dim
    parts = qkv.split([c.heads * c.head_dim, kv, kv], -1)
    return tuple(p.view(b, n, -1, c.head_dim).transpose(1, 2) for p in parts)


def gather_rows(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Rows `index` [B, m] of [B, heads, n, d]. The backward adds in float32."""
    wide = x.float() if x.dtype == torch.bfloat16 else x
    picked = wide.gather(2, index[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3]))
    return picked.to(x.dtype)


def fake_int8(k: torch.Tensor, v: torch.Tensor, exact: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Recalled slots as the store keeps them: K int8 per channel of a block, V int8 per token."""
    b, h, m, d = k.shape

    def quantise(x: torch.Tensor, dim: int) -> torch.Tensor:
        scale = x.abs().amax(dim, keepdim=True).clamp(min=1e-8) / 127
        return (x / scale).round() * scale

    # Blocks of recalled tokens need not start at a multiple of 64 slots: use their running number.
    number = ((exact.cumsum(1) - 1).clamp(min=0) // 64)[:, None, :, None].expand(b, h, m, d)
    flat = k.float().abs() * exact[:, None, :, None]
    top = torch.zeros(b, h, m // 64 + 1, d, device=k.device).scatter_reduce(2, number, flat, "amax")
    scale = (top.gather(2, number) / 127).clamp(min=1e-8)
    where = exact[:, None, :, None].bool()
    k2 = torch.where(where, (k.float() / scale).round() * scale, k.float()).to(k.dtype)
    return k2, torch.where(where, quantise(v.float(), 3), v.float()).to(v.dtype)


def dense_mask(order: torch.Tensor, lo: torch.Tensor, hi: torch.Tensor) -> torch.Tensor:
    """[B, T, K] booleans: which key each query sees."""
    o, low, high = order[:, :, None], lo[:, None, :], hi[:, None, :]
    return (o >= low) & (o < high) & ((low % 2 == 0) | (o % 2 == 1))


def block_mask(order: torch.Tensor, lo: torch.Tensor, hi: torch.Tensor, block: int = 128):
    """The same mask for FlexAttention. T and K must be multiples of `block`."""
    from torch.nn.attention.flex_attention import BlockMask

    b, t, k = *order.shape, lo.shape[1]
    some, every = [], []
    for i in range(0, b, 8):
        m = dense_mask(order[i : i + 8], lo[i : i + 8], hi[i : i + 8])
        m = m.view(-1, t // block, block, k // block, block)
        some.append(m.any(4).any(2))
        every.append(m.all(4).all(2))
    some, every = torch.cat(some), torch.cat(every)

    def listing(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        order_ = torch.argsort(x.to(torch.int8), dim=-1, descending=True, stable=True)
        return x.sum(-1).to(torch.int32)[:, None], order_.to(torch.int32)[:, None]

    def sees(b, h, q, key):
        o, low = order[b, q], lo[b, key]
        return (o >= low) & (o < hi[b, key]) & (((low & 1) == 0) | ((o & 1) == 1))

    part, full = listing(some & ~every), listing(every)
    return BlockMask.from_kv_blocks(
        *part, *full, BLOCK_SIZE=block, mask_mod=sees, seq_lengths=(t, k)
    )


CAUSAL = "causal"


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask) -> torch.Tensor:
    """Grouped-query attention. `mask`: `CAUSAL`, booleans [B, T, K] or a FlexAttention block mask."""
    if mask is not None and not isinstance(mask, (str, torch.Tensor)):
        from torch.nn.attention.flex_attention import flex_attention

        return flex_attention(q, k, v, block_mask=mask, enable_gqa=True)
    repeat = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1)
    if isinstance(mask, str):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None])


def project(h: torch.Tensor, qkv: torch.Tensor, beacon_qkv: torch.Tensor | None, rows: int):
    """Packed projections; rows from `rows` on are beacons and use their own matrix."""
    if beacon_qkv is None or h.shape[1] == rows:
        return h @ qkv.T
    return torch.cat([h[:, :rows] @ qkv.T, h[:, rows:] @ beacon_qkv.T], 1)


def feed_forward(x: torch.Tensor, ln2, gate_up, down, eps: float) -> torch.Tensor:
    """x + SwiGLU(norm(x))."""
    gate, up = (rms(x, ln2, eps) @ gate_up.T).chunk(2, -1)
    return x + (F.silu(gate) * up) @ down.T


def plain_layer(x, weights, rot, mask, config: Config) -> torch.Tensor:
    """One layer of the base decoder: no beacons, no memory."""
    ln1, qkv, wo, ln2, gate_up, down = weights
    q, k, v = heads(rms(x, ln1, config.norm_eps) @ qkv.T, config)
    o = attend(rope(q, *rot), rope(k, *rot), v, mask)
    x = x + o.transpose(1, 2).reshape(x.shape[0], x.shape[1], -1) @ wo.T
    return feed_forward(x, ln2, gate_up, down, config.norm_eps)


def memory_layer(x, weights, beacon_qkv, rot, slot_rot, source, exact, mask, rows, config, fold=None):
    """One layer of the exact pass. `exact`: None, or marks that make the recalled slots int8.

    `fold`: None, or (weights of the layer's gist, `fold`, `asked`, `question`) as `gist.states` takes.
    """
    ln1, qkv, wo, ln2, gate_up, down = weights
    packed = project(rms(x, ln1, config.norm_eps), qkv, beacon_qkv, rows)
    q, k, v = heads(packed, config)
    all_k, all_v = k, v
    if fold is not None:
        state_k, state_v = gist.states(k[:, :, rows:], v[:, :, rows:], *fold)
        all_k, all_v = torch.cat([k, state_k], 2), torch.cat([v, state_v], 2)
    slot_k, slot_v = gather_rows(all_k, source), gather_rows(all_v, source)
    if exact is not None:
        slot_k, slot_v = fake_int8(slot_k, slot_v, exact)
    keys = torch.cat([rope(k, *rot), rope(slot_k, *slot_rot)], 2)
    o = attend(rope(q, *rot), keys, torch.cat([v, slot_v], 2), mask)
    x = x + o.transpose(1, 2).reshape(x.shape[0], x.shape[1], -1) @ wo.T
    return feed_forward(x, ln2, gate_up, down, config.norm_eps)


class Decoder:
    """The base weights on a device, and the two ways of running them."""

    def __init__(self, weights: Weights, device="cpu", dtype=torch.float32) -> None:
        def tensor(a: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(a)).to(device, dtype)

        self.config, self.device, self.dtype = weights.config, device, dtype
        self.embedding = tensor(weights.embedding)
        tied = weights.head is weights.embedding
        self.head = self.embedding if tied else tensor(weights.head)
        self.norm = tensor(weights.norm)
        self.matrices = {m: tensor(weights.matrices[m]) for m in MATRICES}
        qkv, wo, gate_up, down = pack(self.matrices)
        self.layers = Layers(tensor(weights.ln1), qkv, wo, tensor(weights.ln2), gate_up, down)
        self.plain_layer, self.memory_layer = plain_layer, memory_layer

    def compile(self) -> None:
        """Compiles the two layer functions (for a GPU)."""
        self.plain_layer = torch.compile(plain_layer, dynamic=False)
        self.memory_layer = torch.compile(memory_layer, dynamic=False)

    def angles(self, pos: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """cos and sin of positions, in float64 when the decoder is."""
        wide = torch.float64 if self.dtype == torch.float64 else torch.float32
        return angles(pos, self.config, wide)

    def plain(
        self, tokens: torch.Tensor, layers: Layers | None = None, taps=(), until: int | None = None, compiled=True
    ):
        """Causal pass over [B, n] tokens -> (hidden [B, n, D], {layer: its input}).

        `until`: stop before this layer.
        """
        x = F.embedding(tokens, self.embedding)
        pos = torch.arange(tokens.shape[1], device=tokens.device)[None]
        rot = self.angles(pos)
        seen = {}
        for i, weights in enumerate((layers or self.layers).unbind()):
            if i in taps:
                seen[i] = x
            if i == until:
                break
            x = (self.plain_layer if compiled else plain_layer)(x, weights, rot, CAUSAL, self.config)
        return x, seen

    def run(
        self,
        batch: dict[str, torch.Tensor],
        layers: Layers | None = None,
        beacon_qkv: torch.Tensor | None = None,
        beacon_embedding: torch.Tensor | None = None,
        mask=None,
        taps=(),
        int8: bool = False,
        until: int | None = None,
        folding: gist.Gist | None = None,
    ):
        """The exact pass over a batch of layouts (`tok` [B, N] and the arrays of `Layout`).

        `beacon_qkv` [L, Q+2KV, D] and `beacon_embedding` [ratios, D] are needed when the batch has
        beacon rows. `mask` may hold a block mask. Returns (hidden of all T rows, {layer: its input}). `until`: stop before
        this layer, after its input was tapped. `folding` is needed when the layouts hold folds;
        `batch["question"]` [B, asks, dim] holds the questions' addresses.
        """
        rows = batch["tok"].shape[1]
        x = F.embedding(batch["tok"], self.embedding)
        if batch["beacon"].shape[1]:
            beacons = F.embedding(batch["beacon"], beacon_embedding)
            x = torch.cat([x, beacons.to(x.dtype)], 1)
        if mask is None:
            mask = dense_mask(batch["order"], batch["lo"], batch["hi"])
        rot, slot_rot = self.angles(batch["pos"]), self.angles(batch["slot_pos"])
        exact = batch["exact"] if int8 else None
        beacon = [None] * self.config.layers if beacon_qkv is None else beacon_qkv.unbind(0)
        fold = [None] * self.config.layers
        if folding is not None and batch["fold"].shape[1] + batch["asked"].shape[1]:
            marks = batch["fold"].bool(), batch["asked"].bool(), batch.get("question")
            fold = [(w, *marks) for w in folding.unbind()]
        seen = {}
        for i, weights in enumerate((layers or self.layers).unbind()):
            if i in taps:
                seen[i] = x
            if i == until:
                break
            x = self.memory_layer(
                x, weights, beacon[i], rot, slot_rot, batch["source"], exact, mask, rows,
                self.config, fold[i],
            )  # fmt: skip
        return x, seen

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits [.., V] of hidden states."""
        return rms(hidden, self.norm, self.config.norm_eps) @ self.head.T

    @torch.no_grad()
    def generate(
        self, prompts: list[list[int]], new: int, stop: int, layers: Layers | None = None,
        temperature: float = 0.0, seed: int = 0,
    ) -> list[list[int]]:  # fmt: skip
        """Continues left-padded prompts, greedy at temperature 0, until `stop` or `new` tokens."""
        stacked = (layers or self.layers).unbind()
        longest, b = max(map(len, prompts)), len(prompts)
        tok = torch.zeros(b, longest, dtype=torch.long, device=self.device)
        valid = torch.zeros(b, longest + new, dtype=torch.bool, device=self.device)
        for i, p in enumerate(prompts):
            tok[i, longest - len(p) :] = torch.tensor(p, device=self.device)
            valid[i, longest - len(p) :] = True
        pad = torch.tensor([longest - len(p) for p in prompts], device=self.device)[:, None]
        c, total = self.config, longest + new
        shape = (c.layers, b, c.kv_heads, total, c.head_dim)
        cache_k = torch.zeros(shape, device=self.device, dtype=self.dtype)
        cache_v = torch.zeros_like(cache_k)
        rng = torch.Generator(self.device).manual_seed(seed)
        out, done = [], torch.zeros(b, dtype=torch.bool, device=self.device)
        at, rows = 0, tok
        while True:
            n = rows.shape[1]
            index = torch.arange(at, at + n, device=self.device)
            rot = self.angles((index[None] - pad).clamp(min=0))
            causal = torch.arange(at + n, device=self.device)[None] <= index[:, None]
            mask = causal[None] & valid[:, None, : at + n]
            mask = mask | (index[:, None] == torch.arange(at + n, device=self.device)[None])[None]
            x = F.embedding(rows, self.embedding)
            for i, (ln1, qkv, wo, ln2, gate_up, down) in enumerate(stacked):
                q, k, v = heads(rms(x, ln1, c.norm_eps) @ qkv.T, c)
                cache_k[i, :, :, at : at + n] = rope(k, *rot)
                cache_v[i, :, :, at : at + n] = v
                keys, values = cache_k[i, :, :, : at + n], cache_v[i, :, :, : at + n]
                if n == 1:  # the query heads of a key head stand where queries would: no repeated keys
                    q = rope(q, *rot).view(b, c.kv_heads, -1, c.head_dim)
                    o = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask[:, None])
                    o = o.reshape(b, c.heads, 1, c.head_dim)
                else:
                    o = attend(rope(q, *rot), keys, values, mask)
                x = x + o.transpose(1, 2).reshape(b, n, -1) @ wo.T
                x = feed_forward(x, ln2, gate_up, down, c.norm_eps)
            logits = self.logits(x[:, -1]).float()
            if temperature > 0:
                p = (logits / temperature).softmax(-1)
                token = torch.multinomial(p, 1, generator=rng)[:, 0]
            else:
                token = logits.argmax(-1)
            out.append(token)
            done |= token == stop
            at, rows = at + n, token[:, None]
            if len(out) == new or (len(out) % 8 == 0 and bool(done.all())):
                break
        rows_out = torch.stack(out, 1).tolist()
        return [r[: r.index(stop) + 1] if stop in r else r for r in rows_out]


def batch_layouts(layouts: list[dict[str, np.ndarray]], tokens: np.ndarray, device="cpu"):
    """Stacks layouts and tokens [B, N] into the dictionary that `Decoder.run` takes."""
    out = {k: torch.from_numpy(np.stack([a[k] for a in layouts])) for k in layouts[0]}
    out["tok"] = torch.from_numpy(tokens)
    return {k: v.to(device) for k, v in out.items()}
