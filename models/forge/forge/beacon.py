"""Beacons: own projections of q, k, v in every layer, and one embedding a ratio."""

from __future__ import annotations

import torch
from torch import nn

from .layout import RATIOS
from .model import Decoder


class Beacons(nn.Module):
    """`qkv` [layers, Q+2KV, width], a copy of the base's at first; `embedding` [ratios, width]."""

    def __init__(self, decoder: Decoder, start: int = 0) -> None:
        super().__init__()
        width = decoder.config.width
        self.qkv = nn.Parameter(decoder.layers.qkv.detach().float().clone())
        row = decoder.embedding[start].detach().float()
        noise = 0.02 * torch.randn(len(RATIOS), width, device=row.device)
        self.embedding = nn.Parameter(row[None] + noise)

    def tensors(self) -> dict[str, torch.Tensor]:
        """`beacon.qkv` and `beacon.embedding`."""
        return {"beacon.qkv": self.qkv.data, "beacon.embedding": self.embedding.data}

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Takes the tensors that `tensors` gives."""
        self.qkv.data.copy_(tensors["beacon.qkv"])
        self.embedding.data.copy_(tensors["beacon.embedding"])
