"""A low-rank change of the base: W + scale B A for each of the seven matrices of a layer.

It is merged before every pass (training) or once (export); with B = 0 the merged weights are the
base's, bit for bit.
"""

from __future__ import annotations

import torch
from torch import nn

from .model import Decoder, Layers
from .weights import MATRICES, Config


class LowRank(nn.Module):
    """A [layers, rank, in] and B [layers, out, rank] for each matrix. B starts at zero."""

    def __init__(self, config: Config, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.a, self.b = nn.ParameterDict(), nn.ParameterDict()
        for name in MATRICES:
            out, width = config.shape(name)
            self.a[name] = nn.Parameter(torch.randn(config.layers, rank, width) / width**0.5)
            self.b[name] = nn.Parameter(torch.zeros(config.layers, out, rank))

    def delta(self, name: str) -> torch.Tensor:
        """The change of one matrix, [layers, out, in]."""
        return torch.bmm(self.b[name], self.a[name])

    def merged(self, decoder: Decoder) -> Layers:
        """The decoder's layers with the change added."""
        base = decoder.layers

        def change(names: tuple[str, ...]) -> torch.Tensor:
            return torch.cat([self.delta(n) for n in names], 1)

        parts = ("wq", "wk", "wv"), ("wo",), ("gate", "up"), ("down",)
        qkv, wo, gate_up, down = (
            (w + change(names).to(w.dtype)) if w.dtype != torch.bfloat16
            else (w.float() + change(names)).to(w.dtype)
            for w, names in zip((base.qkv, base.wo, base.gate_up, base.down), parts)
        )  # fmt: skip
        return Layers(base.ln1, qkv, wo, base.ln2, gate_up, down)

    def tensors(self) -> dict[str, torch.Tensor]:
        """`lora.{matrix}.{a|b}` stacked over layers."""
        out = {f"lora.{n}.a": self.a[n].data for n in MATRICES}
        return out | {f"lora.{n}.b": self.b[n].data for n in MATRICES}

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Takes the tensors that `tensors` gives."""
        for n in MATRICES:
            self.a[n].data.copy_(tensors[f"lora.{n}.a"])
            self.b[n].data.copy_(tensors[f"lora.{n}.b"])


