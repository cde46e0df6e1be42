#!/usr/bin/env python3
"""Makes the golden files in ../tests/data from PyTorch, transformers, tokenizers and gguf.

    pip install torch transformers tokenizers gguf safetensors numpy regex
    make.py SmolLM2-135M-Instruct.Q4_1.gguf

Everything is seeded: a second run gives the same files, floats up to rounding.
"""
import json
import struct
import sys
from pathlib import Path

import numpy as np
import regex
import torch
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, dequantize, quantize
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "tests" / "data"
STORIES = HERE.parent / "zoo" / "stories260k"


# --- forward passes -----------------------------------------------------------------------------


def forward(model, ids):
    """Logits [T,V], un-rotated keys and queries per layer [T,width], rotated keys, values [Hkv,T,D]."""
    seen, hooks = {}, []
    for i, layer in enumerate(model.model.layers):
        for name in ("q_proj", "k_proj"):
            module = getattr(layer.self_attn, name)
            keep = lambda _m, _x, y, at=(name, i): seen.__setitem__(at, y.detach()[0])
            hooks.append(module.register_forward_hook(keep))
    with torch.no_grad():
        out = model(torch.tensor([ids]), use_cache=True)
    for hook in hooks:
        hook.remove()
    cache = out.past_key_values.layers
    count = range(len(cache))
    return {
        "logits": out.logits[0],
        "key": torch.stack([seen["k_proj", i] for i in count]),
        "query": torch.stack([seen["q_proj", i] for i in count]),
        "rotated_key": torch.stack([cache[i].keys[0] for i in count]),
        "value": torch.stack([cache[i].values[0] for i in count]),
    }


def logprobs(logits, ids):
    """Natural log-probability of each next token, [T-1]."""
    log = torch.log_softmax(logits.double(), -1)
    return log[torch.arange(len(ids) - 1), torch.tensor(ids[1:])]


def save_forward(name, model, ids):
    out = forward(model, ids)
    out["logprob"] = logprobs(out["logits"], ids)
    out = {key: value.float().contiguous() for key, value in out.items()}
    save_file(out, DATA / f"{name}.golden.safetensors", metadata={"ids": json.dumps(ids)})


# --- a random Llama-like model ------------------------------------------------------------------


def random_model():
    """Untied head, heads wider than the residual stream, odd feed-forward width; BF16 on disk."""
    torch.manual_seed(260)
    config = LlamaConfig(
        hidden_size=64, intermediate_size=112, num_hidden_layers=2, num_attention_heads=8,
        num_key_value_heads=2, head_dim=16, vocab_size=128, max_position_embeddings=256,
        rms_norm_eps=1e-6, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2,
        rope_parameters={"rope_type": "default", "rope_theta": 50000.0},
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale = 0.1 if "norm" in name else 1.0 if "embed" in name else 0.15
            p.copy_((torch.randn_like(p) * scale + ("norm" in name)).bfloat16().float())
    folder = DATA / "random-llama"
    folder.mkdir(exist_ok=True)
    state = {k: v.bfloat16().contiguous() for k, v in model.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    plain = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
        "intermediate_size": 112, "num_hidden_layers": 2, "num_attention_heads": 8,
        "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 128,
        "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "rope_theta": 50000.0,
        "hidden_act": "silu", "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2,
    }
    (folder / "config.json").write_text(json.dumps(plain, indent=1) + "\n")
    return model


# --- a tiny GGUF file with every encoding -------------------------------------------------------


def pair_rows(w, heads):
    """Half-rotation order to GGUF's order: the inverse of what the reader must do."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def tiny_gguf():
    rng = np.random.default_rng(4)
    kind = GGMLQuantizationType
    writer = GGUFWriter(DATA / "tiny.gguf", "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(64)
    writer.add_block_count(1)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(48)
    shapes = {
        "token_embd": ((48, 64), kind.Q8_0), "output": ((48, 64), kind.BF16),
        "output_norm": ((64,), kind.F32), "blk.0.attn_norm": ((64,), kind.F32),
        "blk.0.ffn_norm": ((64,), kind.F32), "blk.0.attn_q": ((64, 64), kind.Q4_1),
        "blk.0.attn_k": ((32, 64), kind.Q4_0), "blk.0.attn_v": ((32, 64), kind.Q8_0),
        "blk.0.attn_output": ((64, 64), kind.Q4_0), "blk.0.ffn_gate": ((96, 64), kind.F16),
        "blk.0.ffn_up": ((96, 64), kind.Q4_1), "blk.0.ffn_down": ((64, 96), kind.Q4_1),
    }
    golden = {}
    for name, (shape, encoding) in shapes.items():
        w = rng.normal(size=shape).astype(np.float32)
        heads = {"blk.0.attn_q": 4, "blk.0.attn_k": 2}.get(name)
        stored = pair_rows(w, heads) if heads else w
        packed = quantize(stored, encoding)
        writer.add_tensor(f"{name}.weight", packed, raw_dtype=encoding)
        dense = dequantize(packed, encoding).reshape(shape).astype(np.float32)
        if heads:  # as transformers reads it back
            half = shape[0] // heads // 2
            dense = dense.reshape(heads, half, 2, shape[1]).swapaxes(1, 2).reshape(shape)
        golden[name] = torch.from_numpy(np.ascontiguousarray(dense))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(golden, DATA / "tiny.golden.safetensors")


# --- SmolLM2 ------------------------------------------------------------------------------------


def smollm2(reader):
    config = LlamaConfig(
        hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, head_dim=64, vocab_size=49152, max_position_embeddings=8192,
        rms_norm_eps=1e-5, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2,
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
    )
    names = {
        "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
    }
    state = {}
    for tensor in reader.tensors:
        w = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        part = tensor.name.removesuffix(".weight").split(".")
        if part[-1] in ("attn_q", "attn_k"):
            heads = 9 if part[-1] == "attn_q" else 3
            w = w.reshape(heads, 32, 2, 576).swapaxes(1, 2).reshape(w.shape)
        if part[0] == "blk":
            name = f"model.layers.{part[1]}.{names[part[2]]}.weight"
        else:
            name = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}[part[0]] + ".weight"
        state[name] = torch.from_numpy(np.ascontiguousarray(w))
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model = LlamaForCausalLM(config).eval()
    model.load_state_dict(state)
    return model


def field(reader, key):
    return reader.fields[key].contents()


def reference_tokenizer(reader):
    """The tokenizer of the GGUF file, put together from its vocabulary in Python."""
    tokens = field(reader, "tokenizer.ggml.tokens")
    merges = [tuple(m.split(" ", 1)) for m in field(reader, "tokenizer.ggml.merges")]
    bpe = models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges)
    out = Tokenizer(bpe)
    digits = pre_tokenizers.Digits(individual_digits=True)
    out.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    out.decoder = decoders.ByteLevel()
    return out


SPLIT = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


def letters():
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(others)}


def independent_ids(text, tokens, merges, used=None):
    """Byte-level BPE written out in Python: what the library is checked against."""
    letter = letters()
    vocab = {t: i for i, t in enumerate(tokens)}
    rank = {tuple(m.split(" ", 1)): i for i, m in enumerate(merges)}
    ids = []
    for piece in (p for d in regex.split(r"(\p{N})", text) if d for p in SPLIT.findall(d)):
        word = [c for b in piece.encode() if (c := letter[b]) in vocab]
        while len(word) > 1:
            best = min(range(len(word) - 1), key=lambda i: rank.get((word[i], word[i + 1]), 1 << 30))
            pair = (word[best], word[best + 1])
            if pair not in rank:
                break
            if used is not None:
                used.add(rank[pair])
            word[best : best + 2] = ["".join(pair)]
        ids += [vocab[t] for t in word]
    return ids


def mixed_bytes():
    """10 KB: prose, log lines, scripts, emoji, white space, specials as text, and byte soup."""
    rng = np.random.default_rng(10)
    page = (DATA / "page.txt").read_bytes()[:2200]
    logs = "".join(
        f"Nov {24 + i % 5} 08:{i:02}:{(i * 7) % 60:02} host{i % 3} sshd[{1000 + i * 37}]: "
        f"Failed password for {'invalid user ' if i % 2 else ''}root from 203.0.113.{i * 5 % 256} "
        f"port {40000 + i * 131} ssh2\n" for i in range(18)
    ).encode()
    scripts = (
        "\u00dcn\u00efc\u00f6d\u00e9 \u2013 \u201cquotes\u201d \u2026 \u00bd \u00b2\u00b3 "
        "\u2460\u2461  \u0663\u0664 \u0939\u093f\u0928\u094d\u0926\u0940 \u092e\u0947\u0902 "
        "\u092a\u093e\u0920 \u4e2d\u6587\u5b57\u7b26 \u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9"
        "\u30c8 \ud55c\uad6d\uc5b4 \u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac "
        "\u0420\u0443\u0441\u0441\u043a\u0438\u0439 \u0442\u0435\u043a\u0441\u0442 \u05e2\u05d1"
        "\u05e8\u05d9\u05ea \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0e44\u0e17\u0e22 "
        "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1e9\U0001f1ea "
        "\U0001f642\u200d e\u0301 \u00a0\u2003\u3000x\u0085y\u2028z\ufeff"
        "I'll we've DON'T it's 'S  12345 3.14159 1e-9 0xDEADBEEF v1.2.3 \t\ttabs \r\nCRLF\r\n\n\n   end  \n"
        "<|im_end|> <|im_start|>system <|endoftext|> <repo_name>\n"
        "fn main() { println!(\"{:?}\", x); } // comment\n\tif (a&&b||!c) { return -1; }\n{\"k\":[1,2,{}]}\n"
    ).encode()
    controls = bytes(range(32)) + b" \x7f\x80" + bytes(range(0xC0, 0x100))
    soup = rng.integers(0, 256, 4800, dtype=np.uint8).tobytes()
    cut = "half a character: \u20ac".encode()[:-1] + b" and on \xf0\x9f\x99 \xe2\x82 \xed\xa0\x80 \xc0\xaf\n"
    runs = b"a" * 300 + b"\n" + b" " * 200 + b"x" + b"=" * 250 + b"\n" + b"0" * 150 + b"\n"
    out = page + logs + scripts + controls + cut + runs + soup
    return out[:10240]


def small_tokenizer_gguf(reader, used, text):
    """A GGUF file with just the tokens and merges that the text needs; ids are renumbered.

    A merge that the whole tokenizer never makes on this text is never made by the small one
    either, so both give the same tokens.
    """
    tokens = field(reader, "tokenizer.ggml.tokens")
    merges = field(reader, "tokenizer.ggml.merges")
    kept = [merges[i] for i in sorted(used)]
    needed = {p for m in kept for p in (*m.split(" ", 1), m.replace(" ", "", 1))}
    needed |= {t for t in tokens if len(t) == 1}
    small = [*tokens[:17], *(t for t in tokens[17:] if t in needed)]
    writer = GGUFWriter(DATA / "smollm-small.gguf", "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(small)
    writer.add_token_types([3] * 17 + [1] * (len(small) - 17))
    writer.add_token_merges(kept)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_string("tokenizer.chat_template", field(reader, "tokenizer.chat_template"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return small


def write_ids(name, ids):
    lines = (" ".join(map(str, ids[i : i + 20])) for i in range(0, len(ids), 20))
    (DATA / name).write_text("\n".join(lines) + "\n")


def tokenizer_goldens(reader):
    raw = mixed_bytes()
    (DATA / "mixed.bin").write_bytes(raw)
    text = raw.decode("utf-8", errors="replace")
    tokens = field(reader, "tokenizer.ggml.tokens")
    merges = field(reader, "tokenizer.ggml.merges")
    library = reference_tokenizer(reader)
    used = set()
    ids = library.encode(text).ids
    assert ids == independent_ids(text, tokens, merges, used), "the two references disagree"
    small = small_tokenizer_gguf(reader, used, text)
    index = {t: i for i, t in enumerate(small)}
    write_ids("mixed.smollm2.ids", ids)
    write_ids("mixed.small.ids", [index[tokens[i]] for i in ids])
    (DATA / "mixed.decoded.txt").write_bytes(library.decode(ids, skip_special_tokens=True).encode())
    stories = Tokenizer.from_file(str(STORIES / "tokenizer.json"))
    stories.encode_special_tokens = True
    write_ids("mixed.stories260k.ids", stories.encode(text, add_special_tokens=False).ids)
    return library


def smollm2_goldens(reader, library):
    model = smollm2(reader)
    page = (DATA / "page.txt").read_text()
    prompts = {
        "story": "Once upon a time, in a small village by the sea, there lived",
        "log": "Nov 24 08:12:37 host1 sshd[1111]: Failed password for root from 203.0.113.7 port 40131 ssh2\n",
        "code": "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    }
    out = {"prompts": {}}
    for name, text in prompts.items():
        ids = library.encode(text).ids
        result = forward(model, ids)
        last = result["logits"][-1]
        top = torch.topk(last, 8)
        out["prompts"][name] = {
            "text": text,
            "ids": ids,
            "top_ids": top.indices.tolist(),
            "top_logits": top.values.tolist(),
            "logprobs": logprobs(result["logits"], ids).tolist(),
            "key_17_last": result["key"][17, -1].tolist(),
            "value_29_last": result["value"][29, :, -1].flatten().tolist(),
        }
    ids = library.encode(page).ids
    nats = -logprobs(forward(model, ids)["logits"], ids)
    out["page"] = {"tokens": len(ids), "scored": len(nats), "nats_per_token": float(nats.mean())}
    print("page:", out["page"])
    (DATA / "smollm2.golden.json").write_text(json.dumps(out, indent=1) + "\n")


def main():
    torch.set_num_threads(2)
    rng = np.random.default_rng(1)
    stories = LlamaForCausalLM.from_pretrained(STORIES).eval()
    save_forward("stories260k", stories, [1, *rng.integers(3, 512, 19).tolist()])
    save_forward("random-llama", random_model(), rng.integers(0, 128, 24).tolist())
    tiny_gguf()
    if len(sys.argv) > 1:
        reader = GGUFReader(sys.argv[1])
        smollm2_goldens(reader, tokenizer_goldens(reader))


if __name__ == "__main__":
    main()
