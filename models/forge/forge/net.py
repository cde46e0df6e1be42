"""Everything that is trained, over one frozen base."""

from __future__ import annotations

import torch
from torch import nn

from .address import Address
from .beacon import Beacons

from .lora import LowRank
from .model import Decoder, block_mask


class Net(nn.Module):
    """The low-rank change, the beacons and the address of a decoder."""

    def __init__(self, decoder: Decoder, rank: int, address_layer: int, start: int = 0) -> None:
        super().__init__()
        self.decoder = decoder
        self.lora = LowRank(decoder.config, rank)
        self.beacons = Beacons(decoder, start)
        self.address = Address(decoder.config, address_layer)
        self.to(decoder.device)

    def run(self, batch: dict, layers=None, flex: bool = False, int8: bool = False, until=None):
        """The exact pass with the merged change and the beacons -> (hidden, address input).

        `until`: stop before this layer (for the address alone).
        """
        layers = layers if layers is not None else self.lora.merged(self.decoder)
        mask = block_mask(batch["order"], batch["lo"], batch["hi"]) if flex else None
        dtype, layer = self.decoder.dtype, self.address.layer
        hidden, seen = self.decoder.run(
            batch, layers, self.beacons.qkv.to(dtype), self.beacons.embedding.to(dtype),
            mask=mask, taps=(layer,), int8=int8, until=until,
        )  # fmt: skip
        return hidden, seen[layer][:, : batch["tok"].shape[1]]

    def tensors(self) -> dict[str, torch.Tensor]:
        """All trained tensors by name."""
        return self.lora.tensors() | self.beacons.tensors() | self.address.tensors()

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Takes the tensors that `tensors` gives; beacons may be missing."""
        self.lora.load(tensors)
        self.address.load(tensors)
        if "beacon.qkv" in tensors:
            self.beacons.load(tensors)


def to_device(batch: dict, device) -> dict:
    """Tensors of a batch on a device."""
    return {k: torch.as_tensor(v).to(device, non_blocking=True) for k, v in batch.items()}


