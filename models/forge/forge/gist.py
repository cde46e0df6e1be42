"""The gist: a fixed number of key and value slots a layer that older beacons fold into.

A state holds, for every layer and key head, G rows of E = 2 x head_dim: [k, v], k un-rotated. A fold
reads the beacons that leave their tier; it never sees tokens. `step` is the whole formula.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from .weights import Config

SLOTS, WIDTH = 32, 64
ADDRESS = 128
"""Width of a question's address."""
NAMES = ("init", "scale", "query", "slot", "key", "value", "gate", "gate_bias", "question")


class Gist(nn.Module):
    """The weights of all layers, each [layers, heads, ..] (see `shapes`)."""

    def __init__(self, config: Config, slots: int = SLOTS, width: int = WIDTH) -> None:
        super().__init__()
        e = 2 * config.head_dim
        self.slots, self.width = slots, width
        draw = torch.Generator().manual_seed(7)
        for name, shape in self.shapes(config, slots, width).items():
            t = torch.randn(config.layers, config.kv_heads, *shape, generator=draw)
            if name in ("query", "key", "question"):
                t = t * shape[0] ** -0.5
            elif name == "slot":
                t = t * 2.0  # so that every slot looks elsewhere from the beginning
            elif name == "gate":
                t = t * shape[0] ** -0.5
            elif name == "scale":
                t = torch.ones_like(t)
            elif name == "init":
                t = t * 0.1
            else:
                t = torch.zeros_like(t)
            setattr(self, name, nn.Parameter(t))
        assert e == self.value.shape[-1]

    @staticmethod
    def shapes(config: Config, slots: int, width: int) -> dict[str, tuple[int, ...]]:
        """Shapes by name, without [layers, heads]."""
        e = 2 * config.head_dim
        return {
            "init": (slots, e), "scale": (e,), "query": (e, width), "slot": (slots, width),
            "key": (e, width), "value": (e, e), "gate": (2 * e,), "gate_bias": (),
            "question": (ADDRESS, width),
        }  # fmt: skip

    @torch.no_grad()
    def start(self, rms: torch.Tensor) -> None:
        """Takes the root mean square [layers, heads, E] of beacons' keys and values."""
        self.scale.copy_(1.0 / rms.clamp(min=1e-3))
        self.init.copy_(0.1 * torch.randn_like(self.init) * rms[:, :, None])

    @torch.no_grad()
    def zeroed(self) -> Gist:
        """A copy whose states are all zeros: the control of a table."""
        out = copy.deepcopy(self)
        out.value.copy_(-torch.diag_embed(1.0 / self.scale))
        return out

    def unbind(self) -> list[tuple[torch.Tensor, ...]]:
        """The weights of every layer, in the order of `NAMES`."""
        return list(zip(*(getattr(self, n).unbind(0) for n in NAMES)))

    def tensors(self) -> dict[str, torch.Tensor]:
        """`gist.{name}`."""
        return {f"gist.{n}": getattr(self, n).data for n in NAMES}

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Takes the tensors that `tensors` gives."""
        for n in NAMES:
            getattr(self, n).data.copy_(tensors[f"gist.{n}"])


def prepare(b: torch.Tensor, weights: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Beacons b [B, H, N, E] -> (looked-up keys [B, H, N, P], what is taken of each [B, H, N, E])."""
    _, scale, _, _, key, value, *_ = weights
    scaled = b * scale[:, None]
    return scaled @ key, b + scaled @ value


def step(x, looked, taken, seen, fresh: bool, weights, question=None) -> torch.Tensor:
    """One fold of states x [B, H, G, E] with the beacons that `seen` [B, N] marks.

    `looked`, `taken`: from `prepare`. `question` [B, A]: the question's address, or None.
    States whose fold has no beacon stay as they are.
    """
    _, scale, query, slot, _, _, gate, gate_bias, asked = weights
    scaled = x * scale[:, None]
    look = scaled @ query + slot
    if question is not None:
        look = look + torch.einsum("ba,hap->bhp", question, asked)[:, :, None]
    score = look @ looked.transpose(2, 3) * looked.shape[-1] ** -0.5
    chosen = score.masked_fill(~seen[:, None, None], -1e9).softmax(-1) @ taken
    if fresh:
        new = chosen
    else:
        both = torch.cat([scaled, chosen * scale[:, None]], -1)
        z = (torch.einsum("bhge,he->bhg", both, gate) + gate_bias[:, None]).sigmoid()[..., None]
        new = (1 - z) * x + z * chosen
    return torch.where(seen.any(1)[:, None, None, None], new, x)


def afresh(looked, taken, asked, weights, question) -> torch.Tensor:
    """The folds of all questions at once, each from the start: [B, H, Q x G, E]."""
    init, scale, query, slot, *_, into = weights
    look = ((init * scale[:, None]) @ query + slot)[None, :, None]
    if question is not None:
        look = look + torch.einsum("bqa,hap->bhqp", question.to(looked.dtype), into)[:, :, :, None]
    b, h, n, p = looked.shape
    look = look.expand(b, h, asked.shape[1], *look.shape[3:]).flatten(2, 3)
    score = (look @ looked.transpose(2, 3) * p**-0.5).unflatten(2, (asked.shape[1], -1))
    score = score.masked_fill(~asked[:, None, :, None], -1e9).flatten(2, 3)
    return score.softmax(-1) @ taken


def states(k, v, weights, fold, asked, question) -> tuple[torch.Tensor, torch.Tensor]:
    """All states of one layer: (keys, values) [B, H, (F + Q) x G, D].

    `k`, `v` [B, H, N, D]: un-rotated keys and values of the beacons. `fold` [B, F, N] and `asked`
    [B, Q, N] mark the beacons of each fold; the folds of the context follow each other, those of
    the questions `question` [B, Q, A] start afresh.
    """
    kind = torch.float64 if k.dtype == torch.float64 else torch.float32
    b = torch.cat([k, v], -1).to(kind)
    looked, taken = prepare(b, weights)
    x = weights[0][None].expand(b.shape[0], -1, -1, -1)
    out = []
    for i in range(fold.shape[1]):
        x = step(x, looked, taken, fold[:, i], i == 0, weights)
        out.append(x)
    if asked.shape[1]:
        out.append(afresh(looked, taken, asked, weights, question))
    both = torch.cat(out, 2).to(k.dtype)
    return tuple(both.split(k.shape[-1], -1))
