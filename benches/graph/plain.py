"""Our decoder graph against a plain fused export of the same shape, interleaved in one run.

    pip install onnx onnxruntime numpy
    python benches/graph/plain.py PREPARED_DIR [--past 1024 --tokens 512 --rounds 8]

PREPARED_DIR is a folder that `lcedge model prepare NAME --weights f32` made. The plain graph has
what GenAI's builder writes: one packed projection, rotation inside GroupQueryAttention, keys and
values in one shared buffer, and no logits. Its weights are random: the time does not depend on
them. Ours runs without logits and scores as well, but gives each layer's un-rotated keys.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper


def plain_graph(card, capacity):
    """A fused decoder without a head, f32, random weights."""
    rng = np.random.default_rng(0)
    d, f, v = card["hidden"], card["ffn"], card["vocab"]
    heads, kv, hd = card["heads"], card["kv_heads"], card["head_dim"]
    weights, nodes, values_in, values_out = [], [], [], []

    def weight(name, *shape):
        data = rng.standard_normal(shape, dtype=np.float32) * 0.02
        weights.append(numpy_helper.from_array(data, name))
        return name

    def node(op, inputs, outputs, domain="", **attributes):
        nodes.append(h.make_node(op, inputs, outputs, domain=domain, **attributes))

    ms = "com.microsoft"
    angle = np.outer(np.arange(capacity), 1e5 ** (-np.arange(0, hd, 2) / hd)).astype(np.float32)
    weights.append(numpy_helper.from_array(np.cos(angle), "cos"))
    weights.append(numpy_helper.from_array(np.sin(angle), "sin"))
    node("Gather", [weight("embedding", v, d), "input_ids"], ["x"])
    node("SimplifiedLayerNormalization", ["x", weight("n0", d)], ["in.0"], epsilon=1e-5, axis=-1)
    skip = "x"
    for i in range(card["layers"]):
        node("MatMul", [f"in.{i}", weight(f"qkv.{i}", d, (heads + 2 * kv) * hd)], [f"p.{i}"])
        past = [f"past.{i}.key", f"past.{i}.value"]
        present = [f"present.{i}.key", f"present.{i}.value"]
        node(
            "GroupQueryAttention", [f"p.{i}", "", "", *past, "seqlens_k", "total", "cos", "sin"],
            [f"a.{i}", *present], ms, num_heads=heads, kv_num_heads=kv, do_rotary=1,
        )  # fmt: skip
        node("MatMul", [f"a.{i}", weight(f"o.{i}", heads * hd, d)], [f"ao.{i}"])
        node(
            "SkipSimplifiedLayerNormalization", [f"ao.{i}", skip, weight(f"n.{i}", d)],
            [f"m.{i}", "", "", f"r.{i}"], ms, epsilon=1e-5,
        )  # fmt: skip
        node("MatMul", [f"m.{i}", weight(f"g.{i}", d, f)], [f"gate.{i}"])
        node("MatMul", [f"m.{i}", weight(f"u.{i}", d, f)], [f"up.{i}"])
        node("Sigmoid", [f"gate.{i}"], [f"s.{i}"])
        node("Mul", [f"gate.{i}", f"s.{i}"], [f"silu.{i}"])
        node("Mul", [f"silu.{i}", f"up.{i}"], [f"f.{i}"])
        node("MatMul", [f"f.{i}", weight(f"d.{i}", f, d)], [f"fo.{i}"])
        skip = f"skip.{i}"
        node(
            "SkipSimplifiedLayerNormalization", [f"fo.{i}", f"r.{i}", weight(f"m2.{i}", d)],
            [f"in.{i + 1}", "", "", skip], ms, epsilon=1e-5,
        )  # fmt: skip
        shape = [1, kv, capacity, hd]
        values_in += [h.make_tensor_value_info(n, T.FLOAT, shape) for n in past]
        values_out += [h.make_tensor_value_info(n, T.FLOAT, shape) for n in present]
    inputs = [
        h.make_tensor_value_info("input_ids", T.INT64, [1, "s"]),
        h.make_tensor_value_info("seqlens_k", T.INT32, [1]),
        h.make_tensor_value_info("total", T.INT32, []),
        *values_in,
    ]
    graph = h.make_graph(nodes, "plain", inputs, values_out, weights)
    opsets = [h.make_opsetid("", 18), h.make_opsetid(ms, 1)]
    return h.make_model(graph, opset_imports=opsets, ir_version=10)


class Run:
    """A session whose past and present are one buffer."""

    def __init__(self, path, card, capacity, past, tokens):
        options = ort.SessionOptions()
        options.log_severity_level = 3
        self.session = ort.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        self.binding = self.session.io_binding()
        rng = np.random.default_rng(1)
        total = past + tokens
        given = {
            "input_ids": rng.integers(0, card["vocab"], (1, tokens)),
            "position_ids": np.arange(past, total)[None],
            "seqlens_k": np.array([total - 1], np.int32),
            "total": np.array(total, np.int32),
            "total_sequence_length": np.array(total, np.int32),
            "beacon_seqlens_k": np.array([total - 1], np.int32),
            "beacon_total_sequence_length": np.array(total, np.int32),
            "beacon_attention_bias": np.zeros((1, 1, 0, total), np.float32),
        }
        types = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(float)": np.float32}
        cache = {}
        for i in self.session.get_inputs():
            if i.name.startswith("past."):
                shape = (1, card["kv_heads"], capacity, card["head_dim"])
                data = rng.standard_normal(shape, dtype=np.float32)
                cache[i.name[5:]] = value = ort.OrtValue.ortvalue_from_numpy(data)
            else:
                empty = np.zeros([n if isinstance(n, int) else 0 for n in i.shape])
                data = given.get(i.name, empty).astype(types[i.type])
                value = ort.OrtValue.ortvalue_from_numpy(data)
            self.binding.bind_ortvalue_input(i.name, value)
        for o in self.session.get_outputs():
            name = o.name.removeprefix("present.")
            if o.name.startswith("present."):
                self.binding.bind_ortvalue_output(o.name, cache[name])
            elif o.name.startswith("key."):
                self.binding.bind_output(o.name)

    def time(self):
        """Seconds of one step."""
        start = time.perf_counter()
        self.session.run_with_iobinding(self.binding)
        return time.perf_counter() - start


def main():
    """Prints one row a round and the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--past", type=int, default=1024)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=8)
    a = parser.parse_args()
    card = json.loads((a.prepared / "card.json").read_text())
    capacity = a.past + a.tokens
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        onnx.save(plain_graph(card, capacity), plain)
        runs = [Run(p, card, capacity, a.past, a.tokens) for p in (a.prepared / "model.onnx", plain)]
    times = [[], []]
    for i in range(a.rounds + 1):
        for j in (0, 1) if i % 2 else (1, 0):
            t = runs[j].time()
            if i:
                times[j].append(t)
        if i:
            ours, other = (a.tokens / t[-1] for t in times)
            print(f"round {i}: ours {ours:.1f} tokens/s, plain {other:.1f}, ratio {ours / other:.3f}")
    ours, other = (a.tokens / statistics.median(t) for t in times)
    ratios = [y / x for x, y in zip(*times)]
    print(
        f"ours {ours:.1f} tokens/s, plain {other:.1f} (medians of {a.rounds}): ratio {ours / other:.3f}"
        f" ({min(ratios):.3f} to {max(ratios):.3f})"
    )


if __name__ == "__main__":
    main()
