"""Weights load as the `gguf` package dequantises them; both readers agree on the order of rows."""

import numpy as np
import pytest

from forge import weights
from forge.model import Decoder

gguf = pytest.importorskip("gguf")


@pytest.fixture
def config():
    return weights.Config(
        layers=2, width=64, heads=4, kv_heads=2, head_dim=16, hidden=96, vocab=32,
        rope_theta=10000.0, norm_eps=1e-5, positions=256,
    )  # fmt: skip


def permute(w, heads):
    rows, width = w.shape
    return w.reshape(heads, 2, rows // heads // 2, width).swapaxes(1, 2).reshape(rows, width)


def write_gguf(path, w: weights.Weights):
    c = w.config
    out = gguf.GGUFWriter(path, "llama")
    out.add_block_count(c.layers)
    out.add_embedding_length(c.width)
    out.add_feed_forward_length(c.hidden)
    out.add_head_count(c.heads)
    out.add_head_count_kv(c.kv_heads)
    out.add_context_length(c.positions)
    out.add_layer_norm_rms_eps(c.norm_eps)
    out.add_rope_freq_base(c.rope_theta)
    q4, q8 = gguf.GGMLQuantizationType.Q4_1, gguf.GGMLQuantizationType.Q8_0

    def add(name, a, kind=None):
        if kind is None:
            out.add_tensor(name, a)
        else:
            out.add_tensor(name, gguf.quants.quantize(a, kind), raw_dtype=kind)

    add("token_embd.weight", w.embedding, q8)
    add("output_norm.weight", w.norm)
    names = {"wo": "attn_output", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down"}
    for i in range(c.layers):
        add(f"blk.{i}.attn_norm.weight", w.ln1[i])
        add(f"blk.{i}.ffn_norm.weight", w.ln2[i])
        add(f"blk.{i}.attn_q.weight", permute(w.matrices["wq"][i], c.heads), q4)
        add(f"blk.{i}.attn_k.weight", permute(w.matrices["wk"][i], c.kv_heads), q4)
        add(f"blk.{i}.attn_v.weight", w.matrices["wv"][i].astype(np.float16))
        for m, name in names.items():
            add(f"blk.{i}.{name}.weight", w.matrices[m][i], q4)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def test_gguf_equals_the_package(tmp_path, config):
    path = tmp_path / "model.gguf"
    write_gguf(path, weights.random(config, 4))
    _, ours = weights.read_gguf(path)
    reader = gguf.GGUFReader(str(path))
    assert len(reader.tensors) == len(ours) == 2 + 9 * config.layers
    for t in reader.tensors:
        theirs = gguf.quants.dequantize(t.data, t.tensor_type)
        assert np.array_equal(np.asarray(theirs).reshape(ours[t.name].shape), ours[t.name]), t.name


def test_rows_of_q_and_k_come_back_in_half_rotation_order(tmp_path, config):
    path, w = tmp_path / "model.gguf", weights.random(config, 4)
    write_gguf(path, w)
    loaded = weights.load(path)
    assert loaded.config.positions == config.positions and loaded.config.qkv == config.qkv
    for m in ("wq", "wk"):
        assert np.abs(loaded.matrices[m] - w.matrices[m]).max() < 0.1 * np.abs(w.matrices[m]).max()
    assert Decoder(loaded).layers.qkv.shape == (2, config.qkv, config.width)


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGML" + bytes(64))
    with pytest.raises(ValueError, match="not a GGUF"):
        weights.read_gguf(path)
