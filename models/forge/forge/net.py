"""Everything that is trained, over one frozen base."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from .address import Address
from .beacon import Beacons
from .gist import Gist
from .lora import LowRank
from .layout import BLOCK, Sizes, Step, beacon_rows, build
from .model import Decoder, batch_layouts, block_mask, heads, memory_layer, rms


class Net(nn.Module):
    """The low-rank change, the beacons, the gist and the address of a decoder."""

    def __init__(
        self, decoder: Decoder, rank: int, address_layer: int, start: int = 0, slots: int = 32, width: int = 64
    ) -> None:  # fmt: skip
        super().__init__()
        self.decoder = decoder
        self.lora = LowRank(decoder.config, rank)
        self.beacons = Beacons(decoder, start)
        self.address = Address(decoder.config, address_layer)
        self.gist = Gist(decoder.config, slots, width)
        self.has_gist = False
        self.to(decoder.device)

    def run(self, batch: dict, layers=None, flex: bool = False, int8: bool = False, until=None):
        """The exact pass with the merged change and the beacons -> (hidden, address input).

        `until`: stop before this layer (for the address alone).
        """
        layers = layers if layers is not None else self.lora.merged(self.decoder)
        mask = block_mask(batch["order"], batch["lo"], batch["hi"]) if flex else None
        dtype, layer = self.decoder.dtype, self.address.layer
        if batch["asked"].shape[1] and "question" not in batch:
            batch = batch | {"question": self.questions(batch, layers)}
        hidden, seen = self.decoder.run(
            batch, layers, self.beacons.qkv.to(dtype), self.beacons.embedding.to(dtype),
            mask=mask, taps=(layer,), int8=int8, until=until, folding=self.gist,
        )  # fmt: skip
        return hidden, seen[layer][:, : batch["tok"].shape[1]]

    @torch.no_grad()
    def questions(self, batch: dict, layers) -> torch.Tensor:
        """Addresses of the questions that have a fold of their own: [B, asks, dim].

        They come from a short pass over the end of the context and the question.
        """
        b, asks = batch["asked"].shape[:2]
        out = torch.zeros(b * asks + 1, self.address.key.shape[1], device=self.decoder.device)
        if batch["ask_tok"].shape[0]:
            layer, tok = self.address.layer, batch["ask_tok"]
            x = self.decoder.plain(tok, layers, (layer,), until=layer, compiled=False)[1][layer]
            mask = torch.arange(tok.shape[1], device=tok.device)[None] >= batch["ask_from"][:, None]
            found = self.address.queries(x, mask).to(out.dtype)
            at = batch["ask_at"]
            out[torch.where(at < 0, b * asks, at)] = found
        return out[:-1].view(b, asks, -1)

    def tensors(self) -> dict[str, torch.Tensor]:
        """All trained tensors by name; those of the gist once it was started or loaded."""
        out = self.lora.tensors() | self.beacons.tensors() | self.address.tensors()
        return out | (self.gist.tensors() if self.has_gist else {})

    @torch.no_grad()
    def start_gist(self, tokens: torch.Tensor, layers=None) -> None:
        """Starts the gist's scales from the beacons of `tokens` [B, n] (n a multiple of 64)."""
        b, n = tokens.shape
        sizes = Sizes(rows=n, beacons=n // 4, memory=0)
        ratios = np.tile((4, 8, 16, 32), n // BLOCK)[: n // BLOCK]
        lay = build([Step(0, n)], ratios * 0, sizes, beacons=beacon_rows(ratios, n // BLOCK))
        batch = batch_layouts([lay.arrays()] * b, tokens.cpu().numpy(), self.decoder.device)
        d, every = self.decoder, tuple(range(self.decoder.config.layers))
        layers = layers if layers is not None else self.lora.merged(d)
        qkv = self.beacons.qkv.to(d.dtype)
        compiled, d.memory_layer = d.memory_layer, memory_layer
        _, seen = d.run(batch, layers, qkv, self.beacons.embedding.to(d.dtype), taps=every)
        d.memory_layer = compiled
        rows = torch.from_numpy(lay.order[n:] > 1).to(d.device)
        out = []
        for i in every:
            h = rms(seen[i][:, n:][:, rows], layers.layer(i)[0], d.config.norm_eps)
            _, k, v = heads(h @ qkv[i].T, d.config)
            out.append(torch.cat([k, v], -1).float().pow(2).mean((0, 2)).sqrt())
        self.gist.start(torch.stack(out))
        self.has_gist = True

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Takes the tensors that `tensors` gives; beacons and gist may be missing."""
        if "gist.init" in tensors:
            self.gist.load(tensors)
            self.has_gist = True
        self.lora.load(tensors)
        self.address.load(tensors)
        if "beacon.qkv" in tensors:
            self.beacons.load(tensors)


def to_device(batch: dict, device) -> dict:
    """Tensors of a batch on a device."""
    return {k: torch.as_tensor(v).to(device, non_blocking=True) for k, v in batch.items()}


