"""The files of a memory: what is written, and how a net is made of them again.

`memory.safetensors`: the low-rank change and the address. `beacons.safetensors`: the beacons.
`gist.safetensors`: the gist. Names follow the Hugging Face names of the matrices that they change.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from .data.facts import ABSENT
from .data.samples import SYSTEM
from .layout import BLOCK, RATIOS
from .model import Decoder
from .net import Net
from .weights import MATRICES

HF = {
    "wq": "self_attn.q_proj", "wk": "self_attn.k_proj", "wv": "self_attn.v_proj",
    "wo": "self_attn.o_proj", "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj",
}  # fmt: skip
LORA_FILE, BEACON_FILE, GIST_FILE = "memory.safetensors", "beacons.safetensors", "gist.safetensors"
CARD_FILE = "memory.json"
BYTES_MAX = 48 << 20


def split(tensors: dict[str, torch.Tensor], dtype=torch.float16) -> tuple[dict, dict, dict]:
    """(low-rank change and address, beacons, gist) by their exported names."""
    layers = tensors["lora.wq.a"].shape[0]
    memory, beacons = {}, {}
    for m in MATRICES:
        for i in range(layers):
            for part in ("a", "b"):
                name = f"model.layers.{i}.{HF[m]}.lora_{part.upper()}"
                memory[name] = tensors[f"lora.{m}.{part}"][i].to(dtype).contiguous().clone()
    for name, t in tensors.items():
        if name.startswith("address."):
            memory[name] = t.float().contiguous().clone()
    if "beacon.qkv" in tensors:
        for i in range(layers):
            beacons[f"model.layers.{i}.beacon_qkv"] = tensors["beacon.qkv"][i].to(dtype).clone()
        beacons["beacon_embedding"] = tensors["beacon.embedding"].to(dtype).clone()
    gist = {n: t.to(dtype).contiguous().clone() for n, t in tensors.items() if n.startswith("gist.")}
    return memory, beacons, gist


def write(tensors, out: Path, dtype=torch.float16, beacons: bool = True) -> dict[str, int]:
    """Writes the files (without `beacons` only the first); refuses more than 48 MiB each.

    The gist is written when there is one. Returns the sizes in bytes.
    """
    out.mkdir(parents=True, exist_ok=True)
    sizes = {}
    for name, part in zip((LORA_FILE, BEACON_FILE, GIST_FILE), split(tensors, dtype)):
        if not part or (name != LORA_FILE and not beacons):
            continue
        meta = {"format": "pt", "ratios": json.dumps(RATIOS)}
        if name == GIST_FILE:
            slots, width = part["gist.slot"].shape[2:]
            meta = {"format": "pt", "slots": str(slots), "width": str(width)}
        save_file(part, out / name, metadata=meta)
        sizes[name] = (out / name).stat().st_size
        if sizes[name] > BYTES_MAX:
            raise ValueError(f"{out / name}: {sizes[name]} bytes, more than {BYTES_MAX}")
    return sizes


GIST_WORDS = {
    "apply": "beacons that leave their tier are folded, oldest whole blocks first, in one fold; per layer and key head: "
    "x = state [slots, 2 head_dim] of [k, v], k un-rotated, b = beacons [B, 2 head_dim]; x~ = x scale, b~ = b scale; "
    "a = softmax over B of (x~ query + slot + m question) . (b~ key) / sqrt(width); c = a (b + b~ value); "
    "z = max(sigmoid([x~, c~] . gate + gate_bias), fresh); next = (1 - z) x + z c",
    "start": "gist.init with fresh = 1; init itself is never seen",
    "seen": "slots at consecutive positions between the sinks and the beacons, once something has folded",
    "question": "m = unit memory_query of the question for a fresh fold of the beacons of the blocks it finds; zeros otherwise",
}
"""How the gist applies, for the card."""


def card(tensors: dict[str, torch.Tensor], folder: Path, address_layer: int, base: dict, more: dict | None = None) -> dict:
    """`memory.json` of the files in `folder`: what they are and how they apply; `more` is added."""
    files = {}
    for name in (LORA_FILE, BEACON_FILE, GIST_FILE):
        path = folder / name
        if path.exists():
            data = path.read_bytes()
            files[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    made = {
        "base": base, "files": files, "lora": {"rank": tensors["lora.wq.a"].shape[1], "scale": 1.0},
        "address": {"layer": address_layer, "dim": tensors["address.key"].shape[1], "keys_per_block": 4, "block": BLOCK},
        "beacons": {"ratios": list(RATIOS)} if BEACON_FILE in files else None, "gist": None,
        "prompt": {"system": SYSTEM, "absent": ABSENT},
    }  # fmt: skip
    if GIST_FILE in files:
        slots, width = tensors["gist.slot"].shape[2:]
        made["gist"] = {"slots": slots, "width": width} | GIST_WORDS
    return made | (more or {})


def read(folder: Path) -> dict[str, torch.Tensor]:
    """The trained tensors of a folder, in float32 and by their training names."""
    memory = load_file(folder / LORA_FILE)
    layers = sum(k.endswith("q_proj.lora_A") for k in memory)
    out = {k: v.float() for k, v in memory.items() if k.startswith("address.")}
    for m in MATRICES:
        for part in ("a", "b"):
            names = [f"model.layers.{i}.{HF[m]}.lora_{part.upper()}" for i in range(layers)]
            out[f"lora.{m}.{part}"] = torch.stack([memory[n].float() for n in names])
    if (folder / GIST_FILE).exists():
        out |= {k: v.float() for k, v in load_file(folder / GIST_FILE).items()}
    if not (folder / BEACON_FILE).exists():
        return out
    beacons = load_file(folder / BEACON_FILE)
    out["beacon.qkv"] = torch.stack(
        [beacons[f"model.layers.{i}.beacon_qkv"].float() for i in range(layers)]
    )
    out["beacon.embedding"] = beacons["beacon_embedding"].float()
    return out


def mix(parts: list[tuple[Path, float]], rank: int, out: Path) -> dict[str, float]:
    """Adds the low-rank changes of several memories with weights and cuts the sum to `rank`.

    Address, beacons and gist are those of the first. Returns the share of the squared sum that stays, by
    matrix.
    """
    read_ = [(read(folder), weight) for folder, weight in parts]
    tensors, stays = dict(read_[0][0]), {}
    for m in MATRICES:
        a = torch.cat([t[f"lora.{m}.a"] for t, _ in read_], 1)
        b = torch.cat([t[f"lora.{m}.b"] * weight for t, weight in read_], 2)
        (qb, rb), (qa, ra) = torch.linalg.qr(b), torch.linalg.qr(a.transpose(1, 2))
        u, s, v = torch.linalg.svd(rb @ ra.transpose(1, 2))
        stays[m] = float((s[:, :rank] ** 2).sum() / (s**2).sum())
        root = s[:, :rank].sqrt()
        tensors[f"lora.{m}.b"] = (qb @ u[:, :, :rank]) * root[:, None]
        tensors[f"lora.{m}.a"] = root[:, :, None] * (v[:, :rank] @ qa.transpose(1, 2))
    write(tensors, out, beacons="beacon.qkv" in tensors)
    return stays


def net_of(decoder: Decoder, memory: Path, address_layer: int | None = None) -> Net:
    """A net from exported files (a folder) or from a checkpoint."""
    if memory.is_dir():
        tensors = read(memory)
        card = memory / "memory.json"
        if address_layer is None and card.exists():
            address_layer = json.loads(card.read_text())["address"]["layer"]
    else:
        state = torch.load(memory, map_location="cpu", weights_only=False)
        tensors, address_layer = state["tensors"], state["recipe"]["address_layer"]
    rank = tensors["lora.wq.a"].shape[1]
    shape = tensors["gist.slot"].shape[2:] if "gist.slot" in tensors else (32, 64)
    layer = 18 if address_layer is None else address_layer
    net = Net(decoder, rank, layer, slots=shape[0], width=shape[1])
    net.load(tensors)
    return net
