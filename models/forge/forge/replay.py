"""Self-distilled replay: ordinary chat with answers sampled from the base, and plain text.

While the memory is trained, rows of replay keep the assistant: next-token loss plus
`kl_weight` x KL(base || new) over all positions of the rows. The base's own distribution is computed
in the step (one forward of the frozen base), so nothing has to be stored but tokens.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from .data import chat
from .data.samples import DEFAULT_SYSTEM, chat_prompt
from .data.texts import cut_lines
from .model import Decoder, rms

ROW = 512


def sample_answers(
    decoder: Decoder, tokenizer, prompts: list[str], seed: int, new: int = 128, size: int = 768,
    temperature: float = 0.8,
) -> list[list[int]]:  # fmt: skip
    """Answers of the base to chat prompts, sampled (or greedy at temperature 0), in their order."""
    ids = [tokenizer.encode(p, add_special_tokens=False).ids for p in prompts]
    stop = tokenizer.token_to_id("<|im_end|>")
    stop = -1 if stop is None else stop
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    out: list[list[int]] = [[] for _ in ids]
    for at in range(0, len(order), size):
        part = order[at : at + size]
        answers = decoder.generate([ids[i] for i in part], new, stop, None, temperature, seed + at)
        for i, answer in zip(part, answers):
            out[i] = answer
    return out


def build(
    decoder: Decoder, tokenizer, texts: dict[str, str], count: int, seed: int, new: int = 128
):  # fmt: skip
    """Packed chat rows [R, ROW] (uint16) and short (prompt, answer) pairs for branches."""
    r = random.Random(seed)
    sources = [n for n in texts if not n.startswith("logs")]
    passages = []
    for _ in range(count // 4):
        lines = cut_lines(texts[r.choice(sources)], 1200, r)
        passages.append("".join(lines)[: r.randint(200, 900)].strip())
    questions = chat.prompts(count, seed, passages)
    systems = [DEFAULT_SYSTEM if r.random() < 0.55 else None for _ in questions]
    prompts = [chat_prompt(q, s) for q, s in zip(questions, systems)]
    answers = sample_answers(decoder, tokenizer, prompts, seed, new)
    stop = tokenizer.token_to_id("<|im_end|>")
    newline = tokenizer.encode("\n", add_special_tokens=False).ids
    stream, pairs = [], []
    for question, prompt, answer in zip(questions, prompts, answers):
        ids = tokenizer.encode(prompt, add_special_tokens=False).ids
        stream += ids + answer + newline
        if answer and answer[-1] == stop and len(answer) < 70 and len(question) < 200:
            pairs.append((question, tokenizer.decode(answer[:-1])))
    rows = len(stream) // ROW
    return np.array(stream[: rows * ROW], np.uint16).reshape(rows, ROW), pairs


def save(path: Path, rows: np.ndarray, pairs: list) -> None:
    """Writes `PATH.npy` and `PATH.json`."""
    np.save(path.with_suffix(".npy"), rows)
    path.with_suffix(".json").write_text(json.dumps(pairs))


def load(path: Path) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """Reads what `save` wrote."""
    pairs = [tuple(p) for p in json.loads(path.with_suffix(".json").read_text())]
    return np.load(path.with_suffix(".npy")), pairs


def text_rows(texts: dict[str, str], tokenizer, count: int, r: random.Random) -> np.ndarray:
    """Rows of plain text and dialogue [count, ROW]."""
    names = list(texts)
    out = []
    for _ in range(count):
        name = r.choice(names)
        ids: list[int] = []
        while len(ids) < ROW:
            text = "".join(cut_lines(texts[name], 4 * ROW, r))
            ids += tokenizer.encode(text, add_special_tokens=False).ids
        out.append(ids[:ROW])
    return np.array(out, np.int64)


def chat_rows(texts: dict[str, str], tokenizer, count: int, r: random.Random) -> np.ndarray:
    """Rows of chat turns made of real lines [count, ROW]: any prompt in the template serves the KL."""
    names = [n for n in texts if not n.startswith("logs")]
    out = []
    for _ in range(count):
        ids: list[int] = []
        while len(ids) < ROW:
            lines = [x.strip() for x in cut_lines(texts[r.choice(names)], 3000, r)]
            lines = [re.sub(r"^(User|Assistant|<[^>]+>|\[[\d:]+\] <[^>]+>):? ", "", x) for x in lines]
            lines = [x for x in lines if 10 < len(x) < 700]
            if len(lines) < 2:
                continue
            asked = [x for x in lines if x.endswith("?")] if r.random() < 0.6 else lines
            question = r.choice(asked or lines)
            if r.random() < 0.3:
                question = r.choice(chat.PASSAGE).replace("{x}", question)
            system = DEFAULT_SYSTEM if r.random() < 0.55 else None
            turn = chat_prompt(question, system) + r.choice(lines) + "<|im_end|>\n"
            ids += tokenizer.encode(turn, add_special_tokens=False).ids
        out.append(ids[:ROW])
    return np.array(out, np.int64)


def invent(
    decoder: Decoder, tokenizer, count: int, seed: int, new: int = 224, size: int = 3072
) -> list[list[int]]:
    """Whole turns that the base makes up: it continues the head of a chat, prompt and answer."""
    heads = [chat_prompt("\0", s).split("\0")[0] for s in (DEFAULT_SYSTEM, None)]
    heads = [tokenizer.encode(h, add_special_tokens=False).ids for h in heads]
    stop, start = (tokenizer.token_to_id(f"<|im_{x}|>") for x in ("end", "start"))
    out = []
    for at in range(0, count, size):
        given = [heads[i % 2] for i in range(min(size, count - at))]
        for head, ids in zip(given, decoder.generate(given, new, -1, None, 1.0, seed + at)):
            turns = [i for i, t in enumerate(ids) if t == stop]
            if turns and 3 < turns[0] < new - 60 and ids[turns[0] + 1 :].count(start) >= 1:
                end = turns[1] + 1 if len(turns) > 1 else len(ids)
                out.append(head + ids[:end])
    return out


def pack(turns: list[list[int]], newline: list[int]) -> np.ndarray:
    """Turns one behind the other in rows [R, ROW]."""
    stream = [t for turn in turns for t in turn + newline]
    rows = len(stream) // ROW
    return np.array(stream[: rows * ROW], np.uint16).reshape(rows, ROW)


def replay_loss(hidden, teacher, norm, head, targets, eps: float):
    """(cross entropy, KL(base || new)), means over all positions. Hidden states [n, D].

    Only the KL is trained: cross entropy on prompts would teach them by heart.
    """
    new = (rms(hidden, norm, eps) @ head.T).float().log_softmax(-1)
    base = (rms(teacher, norm, eps) @ head.T).float().log_softmax(-1)
    kl = (base.exp() * (base - new)).sum(-1)
    return F.nll_loss(new, targets), kl.mean()


def step_loss(decoder: Decoder, layers, rows, loss=replay_loss, kl_weight: float = 2.0):
    """Replay loss of rows [B, ROW] -> (total, cross entropy, KL)."""
    hidden, _ = decoder.plain(rows, layers)
    with torch.no_grad():
        teacher, _ = decoder.plain(rows)
    width = hidden.shape[-1]
    ce, kl = loss(
        hidden[:, :-1].reshape(-1, width), teacher[:, :-1].reshape(-1, width), decoder.norm,
        decoder.head, rows[:, 1:].reshape(-1), decoder.config.norm_eps,
    )  # fmt: skip
    return kl_weight * kl, ce.detach(), kl
