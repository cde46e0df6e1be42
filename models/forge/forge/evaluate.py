"""Measures a memory: facts by tier, next-chunk loss by tier, address, and whether the assistant is kept.

All tables use held-out text. Facts come in columns: wordings that were trained, wordings and kinds
of value that were kept back, a needle wording of its own, fields of trained and of kept-back logs.
An answer counts when every token of it, its end included, is the model's first choice.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from . import layout, replay
from .data import chat, corpus
from .data.facts import ABSENT, Grammar, Item
from .data.paraphrases import paraphrase
from .data.samples import DEFAULT_SYSTEM, Branch, Composer, Context, chat_prompt, gather_asks
from .data.texts import cut_lines
from .data.wordings import KEPT, TRAIN
from .layout import BLOCK, Sizes, Step
from .net import Net, to_device

WINDOW, CHUNK = 1024, 256
FACT_SIZES = Sizes(rows=2048, beacons=512, memory=8192, steps=24, folds=8, asks=8)
PLAIN_SIZES = Sizes(rows=2048, beacons=0, memory=8192)
"""For a memory without beacons."""
LOSS_SIZES = Sizes(rows=4096, beacons=1024, memory=6144, steps=24, folds=16)
BATCH = 20


@dataclass(frozen=True)
class Tier:
    """What a question may see besides its recent tokens."""

    name: str
    full: bool = False
    ratio: int = 0
    recall: bool = False
    int8: bool = False
    focus: bool = False
    """Of the recalled blocks, only those that hold the answer (one that does not, where nothing does)."""
    tier: int | None = None
    """Blocks that stay as beacons; the others are folded."""
    asked: bool = False
    """The recalled blocks are not laid: their beacons are folded for the question."""


TIERS = (
    Tier("in window (2K)", full=True),
    Tier("recalled", recall=True),
    Tier("recalled int8", recall=True, int8=True),
    Tier("right blocks alone, int8", recall=True, int8=True, focus=True),
    Tier("recalled int8 + r16", recall=True, int8=True, ratio=16),
    Tier("recalled int8 + r8", recall=True, int8=True, ratio=8),
    Tier("beacons r4", ratio=4),
    Tier("beacons r8", ratio=8),
    Tier("beacons r16", ratio=16),
    Tier("beacons r32", ratio=32),
    Tier("gist of r4, for the question", ratio=4, tier=0, asked=True),
    Tier("gist of r8, for the question", ratio=8, tier=0, asked=True),
    Tier("gist of r8", ratio=8, tier=0),
    Tier("nothing"),
)
NEAR_TIERS = ("in window (2K)", "recalled int8", "right blocks alone, int8", "recalled int8 + r16", "beacons r8", "gist of r8, for the question")  # fmt: skip
"""Tiers of the table of questions for what is not said of a name that is there."""


def needle(g: Grammar) -> Item:
    """A wording that is in neither list of wordings."""
    key, city = f"{g.word('adj')}-{g.word('low')}", g.word("cap")
    number, phrase = g.digits(g.r.choice((5, 6, 7))), g.word("low")
    lines, question, answer = g.r.choice(
        (
            (f"One of the special lucky numbers for {key} is: {number}.", f"What is the special lucky number for {key} mentioned in the provided text?", number),
            (f"The best thing to do in {city} is to eat a {phrase} in the park.", f"What is the best thing to do in {city}?", f"eat a {phrase} in the park"),
            (f"line {key}: REGISTER_CONTENT is <{number}>", f"Tell me the REGISTER_CONTENT in line {key}.", number),
            (f"The vault opens with {number}. Remember it. {number} opens the vault of {city}.", f"What opens the vault of {city}?", number),
        )
    )  # fmt: skip
    return Item([lines], question, answer, "needle")


def columns(text_dir: Path, words: dict, tokenizer, seed: int, sizes: Sizes = FACT_SIZES) -> dict[str, tuple[Composer, object]]:
    """Composers over held-out text, one a column."""
    trained = {s.name: s.weight for s in corpus.SOURCES if s.trained}
    held = {n: corpus.read(text_dir, n, "held") for n in trained}
    log = {s.name for s in corpus.SOURCES if s.log}
    elastic = {"logs_elastic": corpus.read(text_dir, "logs_elastic", "held")}

    def composer(texts, wordings, number):
        weights = {n: trained.get(n, 1.0) for n in texts}
        made = Composer(texts, words, tokenizer, seed + number, sizes, wordings, weights)
        made.text_items = 12
        return made

    logs = {n: t for n, t in held.items() if n in log}
    out = {
        "trained": (composer(held, TRAIN, 1), None),
        "kept back": (composer(held, KEPT, 2), None),
        "needle": (composer(held, KEPT, 3), needle),
        "log fields, trained kinds": (composer(logs, TRAIN, 4), "fields"),
        "log fields, kept kind": (composer(elastic, KEPT, 5), "fields"),
        "paraphrases": (composer(held, KEPT, 6), paraphrase),
    }
    return out


_JOB: tuple = ()


def _make_part(part: tuple[int, list[int]]) -> list[Context]:
    composer, special = _JOB
    composer.reseed(part[0])
    make = (lambda: special(composer.g)) if callable(special) else None
    return [composer.context(n, item=make) for n in part[1]]


def make_contexts(composer: Composer, counts: list[int], special, workers: int = 0) -> list[Context]:
    """Contexts with so many facts each, made by forked workers (0: as many as there are cores)."""
    global _JOB
    _JOB = (composer, special)
    seed, size = composer.r.randrange(1 << 30), 8
    parts = [(seed + i, counts[i : i + size]) for i in range(0, len(counts), size)]
    workers = workers or min(14, os.cpu_count() or 1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        made = pool.map(_make_part, parts, chunksize=1)
    return [c for part in made for c in part]


def _cases(composer: Composer, special, count: int):
    """Contexts with branches about facts that have left the window, and absent ones."""
    end = composer.sizes.rows - composer.branch_rows
    first = (end - 512) // BLOCK * BLOCK
    contexts = make_contexts(composer, [1 if special == "fields" else 12] * count, special)
    cases = []
    for i, this in enumerate(contexts):
        other = contexts[(i + 1) % count]
        holding = [b for a in this.asked for b in a.blocks()]
        text_kinds = ("log field",) if special == "fields" else ()
        own = [a for a in this.asked if max(b for _, b in a.spans) <= first]
        own = [a for a in own if (a.item.kind in text_kinds if text_kinds else a.item.lines)]
        branches, rows = [], 0
        absent = [a for a in other.asked if (a.item.kind in text_kinds if text_kinds else a.item.lines)]
        absent = [a for a in absent if a.item.answer not in this.text][:2]
        for asked, real in [(a, True) for a in own[:6]] + [(a, False) for a in absent]:
            answer = asked.item.answer if real else ABSENT
            branch = composer.branch(asked.item.question, answer, 1.0)
            wanted = asked.blocks() if real else []
            branch.recalled = composer.recalled(wanted[:8], first // BLOCK, 8, holding)
            branch.kind, branch.absent = asked.item.kind, not real
            branch.focus = tuple(wanted[:3]) or branch.recalled[:1]
            if rows + len(branch.ids) > composer.branch_rows or len(branches) >= 8:
                continue
            branches.append(branch)
            rows += len(branch.ids)
        cases.append((this, branches))
    return cases, end, first


def _near_cases(composer: Composer, cases, end: int, first: int):
    """The same contexts with questions for what is not said of a name that is there."""
    out = []
    for this, _ in cases:
        holding = [b for a in this.asked for b in a.blocks()]
        branches, rows = [], 0
        for a in this.asked:
            if not a.item.near or max(b for _, b in a.spans) > first or len(branches) >= 8:
                continue
            branch = composer.branch(a.item.near[0], ABSENT, 1.0)
            wanted = a.blocks()[:3]
            branch.recalled = composer.recalled(wanted, first // BLOCK, 8, holding)
            branch.kind, branch.absent, branch.focus = "near", True, tuple(wanted)
            if rows + len(branch.ids) <= composer.branch_rows:
                branches.append(branch)
                rows += len(branch.ids)
        out.append((this, branches))
    return out


def _lay(composer: Composer, case, tier: Tier, end: int, first: int) -> dict:
    this, branches = case
    steps = [Step(0, end)] if tier.full else layout.chunks(end, CHUNK, 512, tier.tier)
    start = 0 if tier.full else first
    folded = 0 if tier.tier is None else max(0, start // BLOCK - tier.tier)
    ratios = np.full(-(-composer.sizes.rows // BLOCK), tier.ratio)
    ratios[start // BLOCK :] = 0
    laid = []
    for b in branches:
        chosen = b.focus if tier.focus else b.recalled
        made = Branch(b.ids, b.answer, b.query, 1.0, chosen if tier.recall else ())
        made.asked = chosen if tier.asked else ()
        laid.append(made)
    return composer.lay(this.ids[:end], steps, start, ratios, laid, folded=folded)


@torch.no_grad()
def run_batches(net: Net, samples: list[dict], layers, flex: bool, int8=False, size=BATCH, until=None):
    """Yields (index, hidden [N, D], address input [N, D]) for each sample."""
    for at in range(0, len(samples), size):
        part = samples[at : at + size]
        padded = part + [part[-1]] * (size - len(part)) if flex else part
        keys = [k for k in padded[0] if k not in ("query", "positive", "target", "weight")]
        stacked = {k: np.stack([s[k] for s in padded]) for k in keys}
        room = int((stacked["ask_from"] >= 0).sum())
        batch = to_device(stacked | gather_asks(stacked, room), net.decoder.device)
        hidden, middle = net.run(batch, layers, flex=flex, int8=int8, until=until)
        for i in range(len(part)):
            yield at + i, hidden[i], middle[i]


@torch.no_grad()
def facts(net: Net, layers, columns_: dict, contexts: int, flex: bool, keep=lambda so_far: None) -> dict:
    """Share answered, wrongly refused and (for absent facts) refused, by column, tier and kind.

    `keep` is given what there is after each column.
    """
    out: dict = {}
    for column, (composer, special) in columns_.items():
        cases, end, first = _cases(composer, special, contexts)
        near = _near_cases(composer, cases, end, first)
        for tier in TIERS:
            if tier.ratio and not composer.sizes.beacons or tier.tier is not None and not net.has_gist:
                continue
            count = defaultdict(lambda: [0, 0])
            _count(net, layers, composer, (cases, end, first), tier, flex, count)
            if tier.name in NEAR_TIERS and not special:
                _count(net, layers, composer, (near, end, first), tier, flex, count)
            out.setdefault(column, {})[tier.name] = {
                k: [round(100 * s / max(1, n), 1), n] for k, (s, n) in sorted(count.items())
            }
        keep(out)
    return out


def _count(net: Net, layers, composer: Composer, asked, tier: Tier, flex: bool, count) -> None:
    """Counts what is answered and refused of the questions `asked` = (cases, end, first)."""
    cases, end, first = asked
    refuse = composer.encode(ABSENT)[0]
    samples = [_lay(composer, c, tier, end, first) for c in cases]
    for i, hidden, _ in run_batches(net, samples, layers, flex, tier.int8):
        at = end
        for b in cases[i][1]:
            a, z = at + b.answer[0], at + b.answer[1]
            at += len(b.ids)
            logits = net.decoder.logits(hidden[a - 1 : z - 1])
            best = logits.argmax(-1).cpu().numpy()
            exact = bool((best == np.array(b.ids[b.answer[0] : b.answer[1]])).all())
            if b.absent:
                _add(count["unsaid refused" if b.kind == "near" else "absent refused"], int(best[0]) == refuse)
                continue
            third = logits[0].topk(3).indices.tolist()
            _add(count["answered"], exact)
            _add(count["first token among three"], b.ids[b.answer[0]] in third and bool((best[1:] == np.array(b.ids[b.answer[0] + 1 : b.answer[1]])).all()))  # fmt: skip
            _add(count["wrongly refused"], int(best[0]) == refuse)
            _add(count["kind " + b.kind], exact)


def _add(cell: list, hit: bool) -> None:
    cell[0] += int(hit)
    cell[1] += 1


@dataclass(frozen=True)
class LossTier:
    """What is seen behind the recent region: beacons of the last `tier` blocks, older ones folded."""

    name: str
    recent: int | None = 768
    ratio: int = 0
    tier: int | None = None
    folded: bool = True
    """False: what left the tier is gone."""
    other: bool = False
    """Control: everything before the recent region is another document of the same source."""
    zeroed: bool = False
    """Control: the gist's slots hold zeros."""


LOSS_TIERS = (
    LossTier("full 4K", None),
    LossTier("window 1024"),
    LossTier("window 1536", 1280),
    *(LossTier(f"window + r{r}", ratio=r) for r in (4, 8, 16, 32)),
    LossTier("window + r8 of another document", ratio=8, other=True),
    LossTier("window + gist of r8", ratio=8, tier=0),
    LossTier("window + gist of r8, zeroed", ratio=8, tier=0, zeroed=True),
    LossTier("window + gist of r8, another document", ratio=8, tier=0, other=True),
    LossTier("window + r8 of 12 blocks", ratio=8, tier=12, folded=False),
    LossTier("window + r8 of 12 blocks + gist", ratio=8, tier=12),
)


@torch.no_grad()
def losses(
    net: Net, layers, text_dir: Path, tokenizer, rows: int, flex: bool, seed: int = 3, keep=lambda so_far: None
) -> dict:  # fmt: skip
    """Nats a token over the last 512 of 4,096 tokens of held-out text, by tier and source.

    `keep` is given what there is after each source.
    """
    r, n = random.Random(seed), LOSS_SIZES.rows
    out: dict = {}
    composer = Composer({"-": ""}, None, tokenizer, seed, LOSS_SIZES)
    for source in corpus.SOURCES:
        if source.name == "dialogue_taskmaster":
            continue
        text = corpus.read(text_dir, source.name, "held")
        contexts = []
        for _ in range(rows):
            ids: list[int] = []
            while len(ids) < n:
                piece = "".join(cut_lines(text, n * (3 if source.log else 5), r))
                ids += tokenizer.encode(piece, add_special_tokens=False).ids
            contexts.append(np.array(ids[:n]))
        for tier in LOSS_TIERS:
            if tier.tier is None or net.has_gist:
                loss = _tier_loss(net, layers, composer, contexts, tier, flex)
                out.setdefault(source.name, {})[tier.name] = round(loss, 4)
        keep(out)
    for cells in out.values():
        gap = cells["window 1024"] - cells["full 4K"]
        cells["closed"] = {
            k: round(100 * (cells["window 1024"] - v) / gap, 1) if abs(gap) > 1e-6 else None
            for k, v in cells.items() if k.startswith("window +")
        }  # fmt: skip
    return out


def _tier_loss(net: Net, layers, composer: Composer, contexts, tier: LossTier, flex: bool) -> float:
    """Mean nats a token of the last 512 tokens of `contexts`."""
    n = LOSS_SIZES.rows
    steps = [Step(0, n)] if tier.recent is None else layout.chunks(n, CHUNK, tier.recent, tier.tier)
    first = steps[-1].first
    ratios = np.full(n // BLOCK, tier.ratio)
    ratios[first // BLOCK :] = 0
    if not tier.folded:  # no beacons, nothing to fold
        ratios[: steps[-1].folded] = 0
    if tier.other:
        pairs = zip(contexts, contexts[1:] + contexts[:1])
        contexts = [np.concatenate([b[:first], a[first:]]) for a, b in pairs]
    gist = net.gist
    if tier.zeroed:
        net.gist = gist.zeroed()
    samples = [composer.lay(ids, steps, first, ratios, []) for ids in contexts]
    total = 0.0
    for i, hidden, _ in run_batches(net, samples, layers, flex, size=8):
        logits = net.decoder.logits(hidden[n - 513 : n - 1]).float()
        target = torch.from_numpy(contexts[i][n - 512 :]).to(logits.device)
        total += float(F.cross_entropy(logits, target))
    net.gist = gist
    return total / len(contexts)


def _bm25(documents: list[list[str]], queries: list[list[str]], k1: float = 1.2, b: float = 0.75):
    """Scores [queries, documents]."""
    index = defaultdict(list)
    lengths = np.array([max(1, len(d)) for d in documents], float)
    for i, words in enumerate(documents):
        counts = defaultdict(int)
        for w in words:
            counts[w] += 1
        for w, c in counts.items():
            index[w].append((i, c))
    norm = k1 * (1 - b + b * lengths / lengths.mean())
    out = np.zeros((len(queries), len(documents)), np.float32)
    for q, words in enumerate(queries):
        for w in set(words):
            found = index.get(w)
            if not found:
                continue
            at = np.array([i for i, _ in found])
            c = np.array([c for _, c in found], float)
            idf = math.log(1 + (len(documents) - len(found) + 0.5) / (len(found) + 0.5))
            out[q, at] += idf * c * (k1 + 1) / (c + norm[at])
    return out


def _words(text: str) -> list[str]:
    import re

    return re.findall(r"[a-z0-9]+", text.lower())


@torch.no_grad()
def address(
    net: Net, layers, columns_: dict, tokenizer, blocks: int, asked: int, flex: bool,
    names: tuple[str, ...] = ("trained", "kept back", "needle", "paraphrases"),
) -> dict:  # fmt: skip
    """recall@1 and @8 of the address, of BM25 and of both (reciprocal ranks), by column."""
    out: dict = {}
    for column in names:
        if column not in columns_:
            continue
        composer, special = columns_[column]
        end = composer.sizes.rows - composer.branch_rows
        per = end // BLOCK
        count = blocks // per
        busy = asked // 4 + 1
        facts_of = [(6 if i < busy else 1) if special != "fields" else 0 for i in range(count)]
        cases = make_contexts(composer, facts_of, special)
        samples, queries = [], []
        for i, this in enumerate(cases):
            other = (i - 1) % count  # questions are asked at the end of an unrelated context
            branches: list[Branch] = []
            source = cases[other]
            if special == "fields" and len(queries) < asked:
                lines = source.text.splitlines(keepends=True)
                source = Context(source.ids, _field_items(composer, lines), source.text)
            for a in source.asked:
                wanted = a.item.kind == "log field" if special == "fields" else bool(a.item.lines)
                if len(queries) < asked and wanted and len(branches) < 5 and max(z for _, z in a.spans) <= end:
                    branch = composer.branch(a.item.question, ABSENT, 1.0)
                    if sum(len(b.ids) for b in branches) + len(branch.ids) <= composer.branch_rows:
                        queries.append((i, branch, {other * per + b for b in a.blocks()}, a.item))
                        branches.append(branch)
            steps = layout.chunks(end, CHUNK, 512)
            first = (end - 512) // BLOCK * BLOCK
            samples.append((this, steps, first, branches))
        laid = [composer.lay(t.ids[:end], s, f, np.zeros(64, int), b) for t, s, f, b in samples]
        keys, vectors = [], []
        for i, _, middle in run_batches(net, laid, layers, flex, until=net.address.layer):
            keys.append(net.address.keys(middle[None, : per * BLOCK].float())[0])
            at = end
            for b in samples[i][3]:
                a, z = at + b.query[0], at + b.query[1]
                at += len(b.ids)
                mask = torch.ones(1, z - a, dtype=torch.bool, device=middle.device)
                vectors.append(net.address.queries(middle[None, a:z].float(), mask)[0])
        if not queries:
            continue
        score = net.address.score(torch.stack(vectors), torch.cat(keys)).cpu().numpy()
        documents = []
        for c in cases:
            parts = [c.ids[k * BLOCK : (k + 1) * BLOCK].tolist() for k in range(per)]
            documents += [_words(t) for t in tokenizer.decode_batch(parts)]
        text = _bm25(documents, [_words(q[3].question) for q in queries])
        ranks = [np.argsort(np.argsort(-s, axis=1), axis=1) for s in (score, text)]
        fused = -(1.0 / (8 + ranks[0]) + 1.0 / (8 + ranks[1]))
        ranks.append(np.argsort(np.argsort(fused, axis=1), axis=1))
        cell = {}
        for name, rank in zip(("address", "bm25", "fused"), ranks):
            best = np.array([min(rank[q, list(good)]) for q, (_, _, good, _) in enumerate(queries)])
            cell[name] = [round(100 * float((best < 1).mean()), 1), round(100 * float((best < 8).mean()), 1)]
        out[column] = {"blocks": len(documents), "n": len(queries), **cell}
    return out


def _field_items(composer: Composer, lines: list[str]):
    """Questions about fields of a log, with token spans."""
    encoded = composer.tokenizer.encode("".join(lines), add_special_tokens=False)
    ends = np.array([b for _, b in encoded.offsets])
    starts = np.cumsum([0] + [len(x) for x in lines])
    return composer.text_questions(lines, True, set(), ends, starts)


@torch.no_grad()
def assistant(net: Net, layers, text_dir: Path, tokenizer, sampled: bool = True) -> dict:
    """Is the assistant kept? Refusals, KL and perplexity on held-out prompts, answers side by side."""
    d = net.decoder
    prompts = [chat_prompt(q, DEFAULT_SYSTEM if i % 2 else None) for i, q in enumerate(chat.HELD_OUT)]
    answers = replay.sample_answers(d, tokenizer, prompts, 77, 100)
    stream = []
    for p, a in zip(prompts, answers):
        stream += tokenizer.encode(p + "", add_special_tokens=False).ids + a
    rows = torch.tensor(stream[: len(stream) // 512 * 512], device=d.device).view(-1, 512)
    parts = []
    for i in range(0, len(rows), 8):
        hidden, _ = d.plain(rows[i : i + 8], layers)
        teacher, _ = d.plain(rows[i : i + 8])
        new, base = (d.logits(x[:, :-1]).float().log_softmax(-1) for x in (hidden, teacher))
        target = rows[i : i + 8, 1:, None]
        kl = (base.exp() * (base - new)).sum(-1)
        parts.append((float(kl.mean()), float(-new.gather(2, target).mean()), float(-base.gather(2, target).mean()), len(rows[i : i + 8])))
    weight = sum(p[3] for p in parts)
    kl, ce_new, ce_base = (sum(p[j] * p[3] for p in parts) / weight for j in range(3))
    stop = tokenizer.token_to_id("<|im_end|>")
    ids = [tokenizer.encode(p, add_special_tokens=False).ids for p in prompts]
    plain = d.generate(ids, 64, stop, layers)
    base = d.generate(ids[:20], 64, stop)
    r = random.Random(9)
    held = corpus.read(text_dir, "wikipedia", "held")
    logs = corpus.read(text_dir, "logs_rootly", "held")
    behind = []
    for i, p in enumerate(prompts):
        text = "".join(cut_lines(logs if i % 3 == 0 else held, 9000, r))
        context = tokenizer.encode(text, add_special_tokens=False).ids[:1800]
        behind.append(context + tokenizer.encode("\n" + p, add_special_tokens=False).ids)
    after = []
    for i in range(0, len(behind), 40):
        after += d.generate(behind[i : i + 40], 24, stop, layers)

    def refusals(texts: list[list[int]]) -> int:
        return sum("not in memory" in tokenizer.decode(t).lower() for t in texts)

    return {
        "prompts": len(prompts),
        "refused": refusals(plain),
        "refused after 1.8K tokens": refusals(after),
        "kl": round(kl, 4),
        "perplexity": round(math.exp(ce_new), 4),
        "perplexity base": round(math.exp(ce_base), 4),
        "tokens": int(rows.numel()),
        "answers": [
            {"prompt": q, "base": tokenizer.decode(b), "new": tokenizer.decode(n)}
            for q, b, n in zip(chat.HELD_OUT[:20], base, plain[:20])
        ],
    }


@torch.no_grad()
def written_answers(net: Net, layers, columns_: dict, contexts: int = 16) -> dict:
    """Free greedy answers with everything in the window: checks the strict count against 'contained'."""
    d, out = net.decoder, {}
    for column in ("trained", "kept back"):
        composer, special = columns_[column]
        cases, end, _ = _cases(composer, special, contexts)
        stop = composer.tokenizer.token_to_id("<|im_end|>")
        prompts, wanted = [], []
        for this, branches in cases:
            for b in branches:
                if not b.absent:
                    prompts.append(this.ids[:end].tolist() + b.ids[: b.answer[0]])
                    wanted.append(composer.tokenizer.decode(b.ids[b.answer[0] : b.answer[1]]))
        for name, chosen in (("new", layers), ("base", None)):
            hits = 0
            for i in range(0, len(prompts), 32):
                texts = d.generate(prompts[i : i + 32], 32, stop, chosen)
                texts = [composer.tokenizer.decode(t) for t in texts]
                hits += sum(w in t for w, t in zip(wanted[i : i + 32], texts))
            out.setdefault(column, {})[name] = [round(100 * hits / len(prompts), 1), len(prompts)]
    return out


@torch.no_grad()
def plain_losses(net: Net, layers, text_dir: Path, tokenizer, rows: int = 8, seed: int = 3) -> dict:
    """Nats a token of the base and of the changed decoder on held-out text, 2,048 tokens a row."""
    r, d, out = random.Random(seed), net.decoder, {}
    for source in corpus.SOURCES:
        text, stacked = corpus.read(text_dir, source.name, "held"), []
        while len(stacked) < rows:
            ids: list[int] = []
            while len(ids) < 2048:
                piece = "".join(cut_lines(text, 8000, r))
                ids += tokenizer.encode(piece, add_special_tokens=False).ids
            stacked.append(ids[:2048])
        tok = torch.tensor(stacked, device=d.device)
        for name, chosen in (("base", None), ("new", layers)):
            hidden, _ = d.plain(tok, chosen)
            parts = [
                F.cross_entropy(d.logits(h[:-1]).float(), t[1:]) for h, t in zip(hidden, tok)
            ]
            out.setdefault(source.name, {})[name] = round(float(sum(parts) / rows), 4)
    return out


PARTS = ("facts", "assistant", "losses", "address", "written", "plain losses", "address, large")
"""Names of all tables."""


def run(net: Net, text_dir: Path, words: dict, tokenizer, out: Path, flex: bool, contexts: int = 64,
        blocks: int = 20480, asked: int = 300, loss_rows: int = 16, beacons: bool = True,
        large: int = 0, parts: tuple[str, ...] = PARTS, only: tuple[str, ...] = ()) -> dict:  # fmt: skip
    """The tables of `parts`, written to `out` after each one. `large`: blocks of a second, larger index.

    `only`: columns of facts (all when empty).
    """
    import time

    layers = net.lora.merged(net.decoder)
    layers = type(layers)(*(t.detach() for t in layers.__dict__.values()))
    table: dict = {}

    def put(name: str, make) -> None:
        if name not in parts:
            return
        start = time.time()
        try:
            table[name] = make()
        except Exception as e:  # one broken table must not cost the others
            table[name] = f"failed: {e!r}"
        out.write_text(json.dumps(table, indent=1))
        print(name, f"{time.time() - start:.0f} s", flush=True)

    def keep(name: str):
        return lambda so_far: out.write_text(json.dumps(table | {name: so_far}, indent=1))

    sizes = FACT_SIZES if beacons else PLAIN_SIZES
    sets = columns(text_dir, words, tokenizer, 50_000, sizes)
    if only:
        sets = {n: sets[n] for n in only}
    put("facts", lambda: facts(net, layers, sets, contexts, flex, keep("facts")))
    put("assistant", lambda: assistant(net, layers, text_dir, tokenizer))
    if beacons and loss_rows:
        put("losses", lambda: losses(net, layers, text_dir, tokenizer, loss_rows, flex, keep=keep("losses")))
    if asked:
        put("address", lambda: address(net, layers, sets, tokenizer, blocks, asked, flex))
        put("written", lambda: written_answers(net, layers, sets))
        put("plain losses", lambda: plain_losses(net, layers, text_dir, tokenizer))
    if asked and large:
        few = ("kept back", "paraphrases")
        put("address, large", lambda: address(net, layers, sets, tokenizer, large, asked, flex, few))
    return table
