"""Weights of a Llama-family decoder, read from GGUF or from a Hugging Face folder.

Both readers give the same thing: float32 arrays stacked over the layers, with the rows of Q and K
in the half-rotation order (`rope` in `model.py` pairs row i with row i + head_dim / 2).
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

MATRICES = ("wq", "wk", "wv", "wo", "gate", "up", "down")
"""The seven matrices of a layer, each [out, in]."""


@dataclass(frozen=True)
class Config:
    """Shape of a decoder."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    vocab: int
    rope_theta: float
    norm_eps: float
    positions: int

    @property
    def qkv(self) -> int:
        """Rows of the packed projection [q | k | v]."""
        return (self.heads + 2 * self.kv_heads) * self.head_dim

    def shape(self, matrix: str) -> tuple[int, int]:
        """(out, in) of one of `MATRICES`."""
        kv, q = self.kv_heads * self.head_dim, self.heads * self.head_dim
        return {
            "wq": (q, self.width),
            "wk": (kv, self.width),
            "wv": (kv, self.width),
            "wo": (self.width, q),
            "gate": (self.hidden, self.width),
            "up": (self.hidden, self.width),
            "down": (self.width, self.hidden),
        }[matrix]

    def as_dict(self) -> dict:
        """Plain dictionary, for cards and checkpoints."""
        return asdict(self)


@dataclass
class Weights:
    """All weights of a decoder, float32, stacked over layers.

    `embedding` and `head` are [vocab, width] (one object when tied), `norm` is [width], `ln1` and
    `ln2` are [layers, width], `matrices[name]` is [layers, out, in] in half-rotation order.
    """

    config: Config
    embedding: np.ndarray
    head: np.ndarray
    norm: np.ndarray
    ln1: np.ndarray
    ln2: np.ndarray
    matrices: dict[str, np.ndarray]


# ---- GGUF -----------------------------------------------------------------------------------

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
# type id -> (name, values per block, bytes per block)
_KINDS = {0: ("F32", 1, 4), 1: ("F16", 1, 2), 3: ("Q4_1", 32, 20), 8: ("Q8_0", 32, 34)}


class _Cursor:
    def __init__(self, data: memoryview) -> None:
        self.data, self.at = data, 0

    def scalar(self, fmt: str):
        (value,) = struct.unpack_from(fmt, self.data, self.at)
        self.at += struct.calcsize(fmt)
        return value

    def string(self) -> str:
        n = self.scalar("<Q")
        value = bytes(self.data[self.at : self.at + n]).decode("utf-8", errors="replace")
        self.at += n
        return value

    def value(self, kind: int):
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            inner, n = self.scalar("<I"), self.scalar("<Q")
            return [self.value(inner) for _ in range(n)]
        return self.scalar(_SCALARS[kind])


def _dequantise(raw: np.ndarray, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    if kind == "F32":
        return raw.view("<f4").reshape(shape).astype(np.float32)
    if kind == "F16":
        return raw.view("<f2").reshape(shape).astype(np.float32)
    if kind == "Q8_0":
        block = raw.reshape(-1, 34)
        scale = block[:, :2].copy().view("<f2").astype(np.float32)
        return (block[:, 2:].copy().view(np.int8).astype(np.float32) * scale).reshape(shape)
    block = raw.reshape(-1, 20)
    scale = block[:, 0:2].copy().view("<f2").astype(np.float32)
    least = block[:, 2:4].copy().view("<f2").astype(np.float32)
    low, high = block[:, 4:] & 15, block[:, 4:] >> 4
    return (np.concatenate([low, high], 1).astype(np.float32) * scale + least).reshape(shape)


def read_gguf(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Reads a GGUF file (F32, F16, Q4_1, Q8_0 tensors) into (metadata, float32 tensors)."""
    data = np.fromfile(path, dtype=np.uint8)
    cursor = _Cursor(memoryview(data))
    if bytes(data[:4]) != b"GGUF":
        raise ValueError(f"{path}: not a GGUF file")
    cursor.at = 4
    version, tensors, fields = cursor.scalar("<I"), cursor.scalar("<Q"), cursor.scalar("<Q")
    if version not in (2, 3):
        raise ValueError(f"{path}: GGUF version {version} is not supported")
    meta = {}
    for _ in range(fields):
        key = cursor.string()
        meta[key] = cursor.value(cursor.scalar("<I"))
    infos = []
    for _ in range(tensors):
        name = cursor.string()
        dims = tuple(cursor.scalar("<Q") for _ in range(cursor.scalar("<I")))
        infos.append((name, dims[::-1], cursor.scalar("<I"), cursor.scalar("<Q")))
    align = meta.get("general.alignment", 32)
    base = (cursor.at + align - 1) // align * align
    out = {}
    for name, shape, kind, offset in infos:
        if kind not in _KINDS:
            raise ValueError(f"{path}: tensor {name} has type {kind}, which is not supported")
        label, per, size = _KINDS[kind]
        count = int(np.prod(shape)) // per * size
        out[name] = _dequantise(data[base + offset : base + offset + count], label, shape)
    return meta, out


def unpermute(w: np.ndarray, heads: int) -> np.ndarray:
    """Rows of Q or K from GGUF's interleaved order to the half-rotation order."""
    rows, width = w.shape
    return w.reshape(heads, rows // heads // 2, 2, width).swapaxes(1, 2).reshape(rows, width)


def load_gguf(path: Path) -> Weights:
    """Weights of a `llama` GGUF file."""
    meta, t = read_gguf(path)
    heads, kv = meta["llama.attention.head_count"], meta["llama.attention.head_count_kv"]
    width, layers = meta["llama.embedding_length"], meta["llama.block_count"]
    config = Config(
        layers=layers,
        width=width,
        heads=heads,
        kv_heads=kv,
        head_dim=width // heads,
        hidden=meta["llama.feed_forward_length"],
        vocab=t["token_embd.weight"].shape[0],
        rope_theta=float(meta.get("llama.rope.freq_base", 10000.0)),
        norm_eps=float(meta["llama.attention.layer_norm_rms_epsilon"]),
        positions=meta["llama.context_length"],
    )
    names = {"wq": "attn_q", "wk": "attn_k", "wv": "attn_v", "wo": "attn_output"}
    names |= {"gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down"}

    def stack(gguf_name: str, fix=lambda w: w) -> np.ndarray:
        return np.stack([fix(t[f"blk.{i}.{gguf_name}.weight"]) for i in range(layers)])

    fixes = {"wq": lambda w: unpermute(w, heads), "wk": lambda w: unpermute(w, kv)}
    embedding = t["token_embd.weight"]
    return Weights(
        config=config,
        embedding=embedding,
        head=t.get("output.weight", embedding),
        norm=t["output_norm.weight"],
        ln1=stack("attn_norm"),
        ln2=stack("ffn_norm"),
        matrices={k: stack(v, fixes.get(k, lambda w: w)) for k, v in names.items()},
    )


def load_hf(folder: Path) -> Weights:
    """Weights of a Hugging Face folder (`config.json`, `model.safetensors`) of the Llama family."""
    from safetensors.numpy import load_file

    c = json.loads((folder / "config.json").read_text())
    t = {k: v.astype(np.float32) for k, v in load_file(folder / "model.safetensors").items()}
    rope = c.get("rope_parameters") or {}
    config = Config(
        layers=c["num_hidden_layers"],
        width=c["hidden_size"],
        heads=c["num_attention_heads"],
        kv_heads=c["num_key_value_heads"],
        head_dim=c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"],
        hidden=c["intermediate_size"],
        vocab=c["vocab_size"],
        rope_theta=float(c.get("rope_theta") or rope.get("rope_theta") or 10000.0),
        norm_eps=float(c["rms_norm_eps"]),
        positions=c["max_position_embeddings"],
    )
    names = {"wq": "self_attn.q_proj", "wk": "self_attn.k_proj", "wv": "self_attn.v_proj"}
    names |= {"wo": "self_attn.o_proj", "gate": "mlp.gate_proj", "up": "mlp.up_proj"}
    names["down"] = "mlp.down_proj"

    def stack(name: str) -> np.ndarray:
        return np.stack([t[f"model.layers.{i}.{name}.weight"] for i in range(config.layers)])

    embedding = t["model.embed_tokens.weight"]
    return Weights(
        config=config,
        embedding=embedding,
        head=t.get("lm_head.weight", embedding),
        norm=t["model.norm.weight"],
        ln1=stack("input_layernorm"),
        ln2=stack("post_attention_layernorm"),
        matrices={k: stack(v) for k, v in names.items()},
    )


def load(path: Path) -> Weights:
    """Weights from a `.gguf` file or from a folder."""
    path = Path(path)
    return load_hf(path) if path.is_dir() else load_gguf(path)


def random(config: Config, seed: int = 0) -> Weights:
    """Random weights of a given shape, for tests."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    def gain(*shape: int) -> np.ndarray:
        return (1 + 0.1 * rng.standard_normal(shape)).astype(np.float32)

    embedding = rng.standard_normal((config.vocab, config.width)).astype(np.float32)
    return Weights(
        config=config,
        embedding=embedding,
        head=embedding,
        norm=gain(config.width),
        ln1=gain(config.layers, config.width),
        ln2=gain(config.layers, config.width),
        matrices={m: normal(config.layers, *config.shape(m)) for m in MATRICES},
    )
