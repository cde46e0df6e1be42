"""Samples for training and evaluation: a context, questions that branch off it, and their layout.

A context is real text with lines of facts put in. Each question is a branch: it sees the window, the
blocks that are recalled for it and whatever the mode gives, and no other question. The target is the
answer when the question's step can see it, else `ABSENT`.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

import numpy as np

from .. import layout
from ..layout import BLOCK, RATIOS, Sizes, Step
from . import corpus
from .facts import ABSENT, Grammar, Item
from .texts import COPY, Questions, cut_lines
from .wide import EVENT, Wide
from .wordings import TRAIN, Wordings

SYSTEM = "Answer from memory. If memory does not hold it, say: Not in memory."
"""The system line that marks a memory question."""
DEFAULT_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
FIRST = 3.0
"""Factor on the weight of an answer's first token: it is the one that has to be found."""
ASKED_TEXT = 0.4
"""Weight of a token of text in a sample with questions (1 in a sample of plain text)."""
_HEADS = (
    re.compile(r"^\w{3} +\d+ [\d:]{8} \S+ "), re.compile(r"^\[[^\]]{8,40}\] "),
    re.compile(r"^\d{4}-\d\d-\d\d[T ][\d:.]+Z? (?:[\w.\-]+ )?"), re.compile(r"^\d{10}\.\d+\t"),
)  # fmt: skip
ASK_ROWS = 160
"""Rows of the short pass that gives a question's address before its fold: the end of the context and the question."""
_TEXT_KINDS = ("update", "several", "copy", "reply", "cloze", "read")
"""Kinds that may be answered from elsewhere in the text, so that they are never called absent."""
COARSE = {16: (0.25, 0.5), 32: (0.5, 0.75)}
"""Share of questions that are to be refused where beacons of this ratio alone hold the answer: (text, logs)."""
FOREIGN = 6
"""Largest number of questions of a sample that train the address."""
POSITIVES = 8
"""Largest number of blocks that hold an answer."""
RECITED = 1.2
"""Weight of a token of a passage that is continued from beacons (above 1: it is no text)."""


def memory_prompt(question: str, newline: bool = True) -> str:
    """The chat turn that asks a memory question, right behind the text."""
    return (
        ("\n" if newline else "")
        + f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n"
        + "<|im_start|>assistant\n"
    )


def plain_prompt(question: str) -> str:
    """The same without a chat template."""
    return f"\n{SYSTEM}\nQuestion: {question}\nAnswer: "


def chat_prompt(question: str, system: str | None = DEFAULT_SYSTEM) -> str:
    """An ordinary chat turn."""
    head = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
    return f"{head}<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


@dataclass
class Asked:
    """An item whose lines have a place in a context: token spans of the lines that hold it."""

    item: Item
    spans: list[tuple[int, int]]

    def blocks(self) -> list[int]:
        """Blocks that hold any of its lines."""
        found = set()
        for a, b in self.spans:
            found |= set(range(a // BLOCK, (b - 1) // BLOCK + 1))
        return sorted(found)


@dataclass
class Context:
    """Token ids of a context and what can be asked of it."""

    ids: np.ndarray
    asked: list[Asked]
    text: str


@dataclass
class Branch:
    """One question with its tokens; `answer` and `query` are (start, end) within `ids`."""

    ids: list[int]
    answer: tuple[int, int]
    query: tuple[int, int]
    weight: float
    recalled: tuple[int, ...] = ()
    positives: list[int] = field(default_factory=list)
    foreign: bool = False
    kind: str = ""
    absent: bool = False
    asked: tuple[int, ...] = ()
    """Blocks whose beacons are folded for this question."""
    focus: tuple[int, ...] = ()
    """Of the recalled blocks, those that hold the answer (for tables)."""


@dataclass(frozen=True)
class Mode:
    """How a sample is laid: which tiers exist and how large they are."""

    chunk: int = 256
    recent: int = 512
    recent_asked: int = 512
    beacons: tuple[int, ...] = ()
    """Ratios to draw from; empty: no beacons."""
    recall: int = 0
    """Blocks recalled for a question; 0: none."""
    full: bool = False
    tier: int | None = None
    """Blocks that stay as beacons; those before them are folded into the gist. None: all stay."""
    asked: bool = False
    """Questions may have a gist of their own."""


RATIO_SHARES = {4: 0.34, 8: 0.34, 16: 0.20, 32: 0.12}


def draw_mode(r: random.Random, scale: float = 1.0, with_beacons: bool = True, with_gist: bool = False) -> Mode:
    """A mode at random around the runtime's sizes (times `scale`, for tiny models).

    More than half of the samples have beacons and nothing else behind a short recent region: beacons
    learn only what is asked of them.
    """

    def tokens(n: int) -> int:
        return max(BLOCK, int(n * scale) // BLOCK * BLOCK) if n else 0

    kind = r.random()
    if kind < 0.11:
        return Mode(full=True, chunk=tokens(r.choice((256, 512))))
    chunk = tokens(r.choice((256, 256, 512)))
    recall = r.choice((1, 1, 1, 2, 4, 8, 8, 8))
    asked = tokens(r.choice((0, 64, 128, 256, 320, 512)))
    if kind < 0.24 or not with_beacons:
        return Mode(chunk, tokens(r.choice((0, 256, 512, 512, 768, 1024))), asked, (), recall)
    recent = tokens(r.choice((0, 0, 256, 512)))
    if kind >= 0.44:
        recent, recall = tokens(r.choice((0, 0, 0, 0, 0, 256, 512))), 0
        asked = tokens(r.choice((0, 64, 64, 128, 256, 512)))
    tier = r.choice((0, 0, 0, 1, 2, 4, 6, 8, 12)) if with_gist and r.random() < 0.45 else None
    return Mode(chunk, recent, asked, RATIOS, recall, tier=tier, asked=with_gist and r.random() < 0.6)


class Composer:
    """Composes samples from texts. One for each worker; deterministic in its seed."""

    def __init__(
        self, texts: dict[str, str], words: dict, tokenizer, seed: int, sizes: Sizes,
        wordings: Wordings = TRAIN, weights: dict[str, float] | None = None,
        chats: list[tuple[str, str]] | None = None, loss_rows: int = 640, questions: float = 0.78,
        branch_rows: int = 416, scale: float = 1.0, wide: bool = False, recite: float = 0.0,
    ) -> None:  # fmt: skip
        self.r, self.texts, self.tokenizer, self.sizes = random.Random(seed), texts, tokenizer, sizes
        self.g = (Wide if wide else Grammar)(self.r, wordings, words)
        self.names = list(texts)
        weights = weights or {s.name: s.weight for s in corpus.SOURCES}
        self.weights = [weights.get(n, 1.0) for n in self.names]
        self.log = {s.name for s in corpus.SOURCES if s.log}
        self.chats, self.loss_rows, self.questions = chats or [], loss_rows, questions
        self.np = np.random.default_rng(seed)
        self.branch_rows, self.scale, self.text_items = branch_rows, scale, 6
        self.recite = recite
        self.asks_left = sizes.asks

    def encode(self, text: str) -> list[int]:
        """Token ids, no special tokens added."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    # ---- contexts

    def reseed(self, seed: int) -> None:
        """Starts the same composer at another seed."""
        self.r.seed(seed)
        self.np = np.random.default_rng(seed)

    def context(self, facts: int | None = None, rows: int | None = None, item=None) -> Context:
        """A context of `rows` tokens with `facts` items put in (drawn at random when None)."""
        r, rows = self.r, rows or self.sizes.rows
        source = r.choices(self.names, self.weights)[0]
        log = source in self.log
        asked_rows = facts is None
        if asked_rows:  # a sample of training: what lies where the questions begin cannot be asked
            facts, rows = r.randint(4, 12), rows - self.branch_rows * 3 // 4
        items = [(item or self.g.item)() for _ in range(facts)]
        # About 2 bytes a token in logs, 4 elsewhere.
        taken = sum(len(x) for i in items for x in i.lines + i.decoys) / 2.6 if asked_rows else 0
        lines = cut_lines(self.texts[source], int(max(256, rows - taken) * (2.1 if log else 4.3)), r)
        placed = self._insert(lines, items)
        text = "".join(lines)
        encoded = self.tokenizer.encode(text, add_special_tokens=False)
        ids = encoded.ids
        while len(ids) < rows:
            extra = "".join(cut_lines(self.texts[source], rows * 4, r))
            ids = ids + self.encode(extra)
        ends = np.array([b for _, b in encoded.offsets])
        starts = np.cumsum([0] + [len(x) for x in lines])
        asked = []
        for item_, where in placed:
            spans = [self._span(ends, starts[i], starts[i + 1]) for i in where]
            asked.append(Asked(item_, spans))
        taken = {i for _, where in placed for i in where}
        if facts:
            asked += self.text_questions(lines, log, taken, ends, starts)
        return Context(np.array(ids[:rows]), asked, text)

    @staticmethod
    def _span(ends: np.ndarray, start: int, end: int) -> tuple[int, int]:
        """Tokens that overlap the characters start..end (the end of line left out)."""
        a = int(np.searchsorted(ends, start, side="right"))
        return a, int(np.searchsorted(ends, end - 1, side="left")) + 1

    def _insert(self, lines: list[str], items: list[Item]) -> list[tuple[Item, list[int]]]:
        """Puts the items' lines among the lines; gives the final index of each."""
        marks: list[tuple[int, int, str]] = []  # (place, item, line)
        for number, item in enumerate(items):
            marks += [(self.r.randrange(len(lines) + 1), -1, d) for d in item.decoys]
            places = sorted(self.r.randrange(len(lines) + 1) for _ in item.lines)
            if len(places) > 1 and self.r.random() < 0.4:  # near each other
                places = [min(len(lines), places[0] + 2 * i) for i in range(len(places))]
            marks += [(p, number, line) for p, line in zip(places, item.lines)]
        marks.sort(key=lambda m: m[0])
        out, where = [], [[] for _ in items]
        at = 0
        for place, number, line in marks:
            out += lines[at:place]
            at = place
            if number >= 0:
                where[number].append(len(out))
            out.append(self._headed(line, out[-1] if out else "") + "\n")
        out += lines[at:]
        lines[:] = out
        return list(zip(items, where))

    def _headed(self, line: str, before: str) -> str:
        """An event takes the head (time, host) of the line before it, or one that is made up."""
        if not line.startswith(EVENT):
            return line
        found = next((m[0] for m in (head.match(before) for head in _HEADS) if m), None)
        if found is None or self.r.random() < 0.1:
            found = self.g.log_prefix() if self.r.random() < 0.7 else ""
        return found + line[len(EVENT) :]

    def text_questions(self, lines, log, taken, ends, starts) -> list[Asked]:
        questions = Questions(self.g, lines, log)
        found = []
        picks = self.r.sample(range(len(lines)), min(len(lines), 4 * self.text_items))
        for i in picks:
            if i in taken or len(found) >= self.text_items:
                continue
            item = questions.make(i)
            if item:
                last = i + 1 if item.kind == "reply" else i
                found.append(Asked(item, [self._span(ends, starts[i], starts[last + 1])]))
        return found

    # ---- branches

    def branch(self, question: str, answer: str, weight: float, chat: str = "memory") -> Branch:
        """Tokens of one question and its answer."""
        if chat == "memory":
            prompt = memory_prompt(question, self.r.random() < 0.8)
        elif chat == "plain":
            prompt = plain_prompt(question)
        else:
            prompt = "\n" + chat_prompt(question, self.r.choice((DEFAULT_SYSTEM, None)))
        cut = prompt.index(question) if question in prompt else 0
        head, tail = self.encode(prompt[:cut]), self.encode(prompt[cut + len(question) :])
        middle = self.encode(question)
        end = "\n" if chat == "plain" else "<|im_end|>"
        reply = self.encode(answer + end)
        start = len(head) + len(middle) + len(tail)
        return Branch(
            head + middle + tail + reply, (start, start + len(reply)),
            (len(head), len(head) + len(middle)), weight,
        )  # fmt: skip

    def recalled(self, wanted: list[int], left: int, count: int, holding: list[int]) -> tuple:
        """`count` blocks before `left`: the wanted ones, a neighbour at times, and distractors."""
        chosen = set(wanted)
        for b in wanted:
            for near in (b - 1, b + 1):
                if 0 <= near < left and len(chosen) < count and self.r.random() < 0.4:
                    chosen.add(near)
        pool = [b for b in holding if b < left and b not in chosen]
        self.r.shuffle(pool)
        while len(chosen) < min(count, left):
            if pool and self.r.random() < 0.5:
                chosen.add(pool.pop())
            else:
                chosen.add(self.r.randrange(left))
        return tuple(sorted(chosen))

    def _fold_for(self, mode: Mode, wanted: list[int], left: int, ratios, holding) -> tuple:
        """Blocks whose beacons are folded for a question; none where the mode has no such fold."""
        if not (mode.asked and left and self.asks_left > 0 and self.r.random() < 0.7):
            return ()
        found = self.recalled(wanted, left, self.r.choice((1, 2, 4, 8, 8)), holding)
        found = tuple(b for b in found if ratios[b])
        self.asks_left -= bool(found)
        return found

    def _own(self, asked: Asked, mode: Mode, first: int, ratios, holding, folded: int) -> Branch | None:
        """A question about this context: answered when its step can see the answer."""
        item, r = asked.item, self.r
        left = first // BLOCK
        gone = [b for b in asked.blocks() if b < left]
        recalled, fold, absent, coarse = (), (), False, 0
        recall_it = bool(gone and mode.recall) and len(gone) <= max(mode.recall, 3) and r.random() < 0.87
        if mode.recall and left:
            count = max(mode.recall, len(gone)) if recall_it else mode.recall
            recalled = self.recalled(gone if recall_it else [], left, count, holding)
            recalled = recalled if recall_it else tuple(b for b in recalled if b not in gone)
        if gone and not recall_it:
            fold = self._fold_for(mode, gone if r.random() < 0.88 else [], left, ratios, holding)
            seen = [ratios[b] if b in fold or b >= folded else 0 for b in gone]
            absent, coarse = not all(seen), max(seen)
            if not absent and coarse in COARSE and item.kind not in _TEXT_KINDS:
                absent = r.random() < COARSE[coarse][item.kind.startswith("log")]
        if absent and (len(gone) < len(asked.blocks()) or item.kind in _TEXT_KINDS):
            return None  # partly visible, or the same words may stand elsewhere
        chat = "plain" if r.random() < 0.08 else "memory"
        weight = 2.0 if absent else item.weight
        if coarse > 8 and not absent:
            weight = max(1.0, weight / 2)  # hardly to be read: do not teach guessing
        branch = self.branch(item.question, ABSENT if absent else item.answer, weight, chat)
        branch.recalled, branch.kind, branch.absent, branch.asked = recalled, item.kind, absent, fold
        return branch

    def _recite(self, this: Context, left: int, ratios, folded: int) -> Branch | None:
        """Goes on with a passage that left the window and is held by beacons: the densest lesson of what to keep.

        Half of the passages begin at or near a fact's line. Either the passage's own first tokens come
        again, or a question quotes them.
        """
        r, ids = self.r, this.ids
        held = [a.spans[0][0] for a in this.asked if a.spans and folded * BLOCK <= a.spans[0][0] < (left - 1) * BLOCK]
        for _ in range(6):
            known, count = r.randint(5, 14), r.randint(20, 96)
            start = r.choice(held) - r.randint(0, known) if held and r.random() < 0.5 else r.randrange(folded * BLOCK, left * BLOCK)
            end = min(start + known + count, left * BLOCK)
            if start < folded * BLOCK or end - start - known < 12 or not all(ratios[start // BLOCK : (end - 1) // BLOCK + 1]):
                continue
            head = ids[start : start + known]
            windows = np.lib.stride_tricks.sliding_window_view(ids[: left * BLOCK], known)
            if (windows == head).all(1).sum() == 1:
                break
        else:
            return None
        if r.random() < 0.6:
            before, after = self.encode("\n"), []
        else:
            asked = r.choice(COPY)
            asked = plain_prompt(asked) if r.random() < 0.2 else memory_prompt(asked, r.random() < 0.8)
            before, after = (self.encode(x) for x in asked.split("{a}"))
        prompt = before + head.tolist() + after
        reply = ids[start + known : end].tolist()
        coarse = max(ratios[start // BLOCK : (end - 1) // BLOCK + 1]) > 8
        span = (len(prompt), len(prompt) + len(reply))
        return Branch(prompt + reply, span, (0, 0), 1.001 if coarse else RECITED, kind="recite")

    def _foreign(self, other: Context, this: Context, mode: Mode, left, holding, ratios) -> Branch | None:
        """A question whose answer is in another context: absent here, and a query for the address."""
        choices = [a for a in other.asked if a.item.weight >= 5.0 and a.item.answer not in this.text]
        last = self.sizes.rows - self.branch_rows  # behind it the other sample's questions begin
        choices = [a for a in choices if max(b for _, b in a.spans) <= last and len(a.blocks()) <= POSITIVES]
        if not choices:
            return None
        asked = self.r.choice(choices)
        chat = "plain" if self.r.random() < 0.08 else "memory"
        branch = self.branch(asked.item.question, ABSENT, 2.0, chat)
        branch.foreign, branch.positives = True, asked.blocks()
        branch.kind, branch.absent = asked.item.kind, True
        if mode.recall and left:
            branch.recalled = self.recalled([], left, mode.recall, holding)
        elif self.r.random() < 0.3:
            branch.asked = self._fold_for(mode, [], left, ratios, holding)
        return branch

    def _near(self, context: Context, mode: Mode, left: int, holding, ratios) -> Branch | None:
        """A question that looks like one that could be answered, and cannot."""
        choices = [a for a in context.asked if a.item.near]
        if not choices:
            return None
        asked = self.r.choice(choices)
        branch = self.branch(self.r.choice(asked.item.near), ABSENT, 2.0)
        branch.kind, branch.absent = "near", True
        gone = [b for b in asked.blocks() if b < left]
        if mode.recall and left:
            branch.recalled = self.recalled(gone[: mode.recall], left, mode.recall, holding)
        elif self.r.random() < 0.5:
            branch.asked = self._fold_for(mode, gone, left, ratios, holding)
        return branch

    def branches(self, this: Context, other: Context, mode: Mode, first: int, ratios, cuts, end: int, folded: int) -> list[Branch]:
        """Questions that fit the rows left for them."""
        r, out, rows = self.r, [], 0
        left = first // BLOCK
        holding = [b for a in this.asked for b in a.blocks()]
        own = [a for a in this.asked if max(b for _, b in a.spans) <= end]
        r.shuffle(own)
        counts = self.counts(ratios, cuts)
        slots = self.sizes.memory - self._context_slots(mode, counts, end)
        shown = int(counts[folded:left].sum())
        gist = self.sizes.gist if self.sizes.folds and counts[:folded].sum() else 0
        recite = self.recite if mode.beacons and not mode.recall and left > max(folded, 1) else 0.0
        for _ in range(2 * self.sizes.steps):
            if r.random() < recite:
                kind, branch = 1.0, self._recite(this, left, ratios, folded)
            else:
                kind = r.random()
            if kind == 1.0:
                pass
            elif kind < 0.56:
                branch = self._own(own.pop(), mode, first, ratios, holding, folded) if own else None
            elif kind < 0.74:
                branch = self._foreign(other, this, mode, left, holding, ratios)
            elif kind < 0.95:
                branch = self._near(this, mode, left, holding, ratios)
            else:
                branch = None
                if self.chats:
                    question, answer = r.choice(self.chats)
                    branch = self.branch(question, answer, 1.0, "chat")
                    branch.kind = "chat"
            if branch is None:
                continue
            slots_ = max(gist, self.sizes.gist * bool(branch.asked))
            need = (self.sizes.sinks + slots_ + shown + BLOCK * len(branch.recalled)) if left else 0
            if rows + len(branch.ids) > self.sizes.rows - end or need > slots or len(out) + 8 >= self.sizes.steps:
                continue
            if branch.foreign and sum(b.foreign for b in out) >= FOREIGN:
                continue
            if sum(bool(b.asked) for b in out) + bool(branch.asked) > self.sizes.asks:
                continue
            out.append(branch)
            rows += len(branch.ids)
            slots -= need
        return out

    def _context_slots(self, mode: Mode, counts, end: int) -> int:
        if mode.full:
            return 0
        total = 0
        for step in layout.chunks(end, mode.chunk, mode.recent, mode.tier):
            if step.first:
                total += self.sizes.sinks + int(counts[step.folded : step.first // BLOCK].sum())
                total += self.sizes.gist if self.sizes.folds and counts[: step.folded].sum() else 0
        return total

    # ---- samples

    @staticmethod
    def counts(ratios, cuts) -> np.ndarray:
        """Beacons of each block."""
        return np.array([len(layout.block_beacons(int(x), int(c))) for x, c in zip(ratios, cuts)], int)

    def ratios(self, mode: Mode, blocks: int) -> tuple[np.ndarray, np.ndarray]:
        """A ratio for each chunk (at times for each block), within the rows for beacons, and cuts."""
        cuts = np.zeros(blocks, int)
        if not mode.beacons:
            return cuts, cuts
        if self.r.random() < 0.6:  # the runtime's blocks end at line ends, 24 to 64 tokens
            cuts = np.array([self.r.choice((0, self.r.randint(24, BLOCK - 24))) for _ in range(blocks)])
        shares = [RATIO_SHARES[x] for x in mode.beacons]
        run = 1 if self.r.random() < 0.15 else mode.chunk // BLOCK
        while True:
            drawn = [self.r.choices(mode.beacons, shares)[0] for _ in range(0, blocks, run)]
            out = np.repeat(drawn, run)[:blocks]
            if self.counts(out, cuts).sum() <= self.sizes.beacons:
                return out, cuts
            if len(mode.beacons) == 1:
                raise layout.LayoutError(f"ratio {mode.beacons} does not fit {self.sizes}")

    def question_sample(self, this: Context, other: Context, mode: Mode) -> dict:
        """Arrays of one sample with questions."""
        rows = self.sizes.rows
        reserve = self.r.randint(self.branch_rows * 3 // 4, self.branch_rows)
        end = rows - reserve
        steps = [Step(0, end)] if mode.full else layout.chunks(end, mode.chunk, mode.recent, mode.tier)
        first = 0
        if not mode.full:
            first = max(steps[-1].first, (end - mode.recent_asked) // BLOCK * BLOCK)
        folded = 0 if mode.tier is None else max(0, first // BLOCK - mode.tier)
        ratios, cuts = self.ratios(mode, -(-rows // BLOCK))
        ratios[first // BLOCK :] = 0
        branches = self.branches(this, other, mode, first, ratios, cuts, end, folded)
        since = self._since(steps, mode)
        return self.lay(this.ids[:end], steps, first, ratios, branches, cuts, since, folded)

    @staticmethod
    def _since(steps: list[Step], mode: Mode) -> int:
        """Row from which text counts: with beacons, where the first tokens have left."""
        left = [s.start for s in steps if s.first]
        return left[0] if mode.beacons and left else 128

    def lay(
        self, ids: np.ndarray, steps: list[Step], first: int, ratios, branches: list[Branch], cuts=None,
        since: int = 128, folded: int = 0,
    ) -> dict:  # fmt: skip
        """Arrays of a context with branches: layout, tokens, loss rows, address queries.

        Text counts from row `since` on. `folded`: blocks that are folded when the questions come.
        `ask_tok` [asks, ASK_ROWS], `ask_from` [asks]: the end of the context and the question that has
        a fold of its own, and where the question begins in it (-1: none).
        """
        rows, end = self.sizes.rows, len(ids)
        tokens, weight = np.zeros(rows, np.int64), np.zeros(rows)
        tokens[:end] = ids
        weight[min(since, end // 2) : end] = 1.0
        query = np.full((FOREIGN, 2), -1)
        positive = np.full((FOREIGN, POSITIVES), -1)
        ask_tok = np.zeros((self.sizes.asks, ASK_ROWS), np.int64)
        ask_from, asks = np.full(self.sizes.asks, -1), 0
        at, foreign, steps = end, 0, list(steps)
        for b in branches:
            n = len(b.ids)
            tokens[at : at + n] = b.ids
            weight[at + b.answer[0] : at + b.answer[1]] = b.weight if b.weight > 1 else 1.001
            if not b.absent and b.kind not in ("chat", "recite") or b.kind == "near":
                weight[at + b.answer[0]] *= FIRST  # an answer or a refusal is decided there
            if b.foreign and foreign < FOREIGN:
                query[foreign] = at + b.query[0], at + b.query[1]
                positive[foreign, : len(b.positives)] = b.positives
                foreign += 1
            if b.asked:
                said = np.concatenate([ids, b.ids[: b.query[1]]])[-ASK_ROWS:]
                ask_tok[asks, ASK_ROWS - len(said) :] = said
                ask_from[asks] = max(0, ASK_ROWS - (b.query[1] - b.query[0]))
                asks += 1
            steps.append(Step(at, at + n, first, folded, b.recalled, branch=True, asked=b.asked))
            at += n
        lay = layout.build(steps, ratios, self.sizes, cuts).arrays()
        text = ASKED_TEXT if branches else 1.0
        ask = {"ask_tok": ask_tok, "ask_from": ask_from}
        return {**lay, **self._loss(tokens, weight, text), "query": query, "positive": positive, **ask}

    def _loss(self, tokens: np.ndarray, weight: np.ndarray, text: float = 1.0) -> dict:
        """Rows whose next-token loss counts: all answers, and as many others as there is room for.

        `text`: weight of the others.
        """
        m = self.loss_rows
        answers = np.nonzero(weight > 1)[0][:m]
        rest = np.nonzero(weight == 1)[0]
        rest = self.np.choice(rest, min(len(rest), m - len(answers)), replace=False)
        chosen = np.concatenate([answers, rest])
        rows, w = np.zeros(m, np.int64), np.zeros(m)
        rows[: len(chosen)], w[: len(chosen)] = chosen, weight[chosen]
        w[len(answers) : len(chosen)] = text
        return {"tok": tokens, "target": rows, "weight": w}

    def text_sample(self, this: Context, mode: Mode) -> dict:
        """Arrays of one sample of plain text."""
        rows = self.sizes.rows
        steps = layout.chunks(rows, mode.chunk, rows if mode.full else mode.recent, mode.tier)
        ratios, cuts = self.ratios(mode, -(-rows // BLOCK))
        since = self._since(steps, mode)
        return self.lay(this.ids, steps, steps[-1].first, ratios, [], cuts, since)

    def batch(self, size: int) -> dict[str, np.ndarray]:
        """A batch of samples. A sample's foreign questions belong to the sample after it.

        `ask_tok` and `ask_from` hold the first 4 questions with a fold for every 3 samples, `ask_at`
        says whose they are (sample x asks + number, -1: none).
        """
        room = min(self.sizes.asks, 1) * (size * 4 // 3 + 1)
        self.asks_left = room
        asked = [self.r.random() < self.questions for _ in range(size)]
        contexts = [self.context(None if a else 0) for a in asked]
        out = []
        for i, this in enumerate(contexts):
            while True:
                mode = draw_mode(self.r, self.scale, self.sizes.beacons > 0, self.sizes.folds > 0)
                before = self.asks_left
                try:
                    if asked[i]:
                        sample = self.question_sample(this, contexts[(i + 1) % size], mode)
                    else:
                        sample = self.text_sample(this, mode)
                    break
                except layout.LayoutError:
                    self.asks_left = before
            out.append(sample)
        stacked = {k: np.stack([s[k] for s in out]) for k in out[0]}
        shift = (np.arange(size)[:, None, None] + 1) % size * (self.sizes.rows // BLOCK)
        stacked["positive"] = np.where(stacked["positive"] >= 0, stacked["positive"] + shift, -1)
        return stacked | gather_asks(stacked, room)


def gather_asks(stacked: dict, room: int) -> dict[str, np.ndarray]:
    """`room` rows of questions that have a fold of their own: `ask_tok`, `ask_from`, `ask_at`."""
    rows, starts = stacked["ask_tok"].reshape(-1, ASK_ROWS), stacked["ask_from"].reshape(-1)
    valid = np.nonzero(starts >= 0)[0]
    if len(valid) > room:
        raise layout.LayoutError(f"{len(valid)} questions with a fold of their own do not fit {room}")
    out = {"ask_tok": np.zeros((room, ASK_ROWS), np.int64), "ask_from": np.zeros(room, np.int64), "ask_at": np.full(room, -1)}
    out["ask_tok"][: len(valid)], out["ask_from"][: len(valid)] = rows[valid], starts[valid]
    out["ask_at"][: len(valid)] = valid
    return out
