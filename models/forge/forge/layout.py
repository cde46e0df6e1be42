"""Where every key of a sample lies: the one exact pass that stands for the runtime's loop.

A sample is a row of `rows` tokens, read in *steps*. Context steps follow each other (the chunks that
a runtime absorbs). Branches hang at the end of the context, one beside the other (questions that are
asked of the same state; none sees another). All beacons of a sample lie behind the tokens.

For each step the window is, oldest first:

    [ sinks | gist | beacons of blocks that left | recalled blocks ] [ recent exact tokens | this step ]

* recent tokens and the step's own tokens stand at their true distances;
* the memory region ends just before the oldest recent token, so its keys are laid anew for each
  step: one copy of an un-rotated key for each step that sees it (a *memory slot*);
* a token is seen once: exact while it is recent, through its block's beacons afterwards;
* blocks whose beacons left their tier (`Step.folded`) are folded into the gist, one fold for each step
  that folds more than the step before it; a question may have a fold of its own (`Step.asked`);
* an ordinary token never sees the beacons of its own step; a beacon sees the tokens up to the last
  one it covers, whose position it takes, and the earlier beacons of its own step.

Every key is then visible to one contiguous interval of queries. With `order` = 2 x row for tokens
and 2 x (last covered row) + 1 for beacons, key k is visible to query q exactly when

    lo[k] <= order[q] < hi[k]   and   (lo[k] is even or order[q] is odd).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BLOCK = 64
"""Tokens of a block: the unit in which tokens leave the recent region and are recalled."""
RATIOS = (4, 8, 16, 32)
"""Tokens that one beacon stands for. The index in this tuple is the beacon's embedding."""


@dataclass(frozen=True)
class Step:
    """One call of the decoder.

    Rows `start..end`. `first` is the oldest recent token (a multiple of `BLOCK`; 0: nothing has
    left). `folded`: blocks before this one are no longer seen as beacons (their tier is full), but
    through the gist where the sizes have one. `recalled`: blocks whose exact keys and values are
    laid into the memory region, ascending. `branch`: hangs at the end of the context instead of
    following the step before it. `asked`: blocks whose beacons are folded afresh for this question;
    the result takes the place of the gist.
    """

    start: int
    end: int
    first: int = 0
    folded: int = 0
    recalled: tuple[int, ...] = ()
    branch: bool = False
    asked: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sizes:
    """Static sizes of a batch: rows of tokens, of beacons and of memory slots.

    `folds`: folds of the context (0: there is no gist), `asks`: folds for questions, `gist`: slots.
    """

    rows: int
    beacons: int
    memory: int
    sinks: int = 4
    steps: int = 16
    """Largest number of steps of a sample."""
    folds: int = 0
    asks: int = 0
    gist: int = 32


class LayoutError(ValueError):
    """A sample does not fit its sizes, or breaks the rules of a layout."""


@dataclass
class Layout:
    """Arrays of one sample (int64). T = rows + beacons, K = T + memory, F = folds, Q = asks.

    `order` and `pos` [T]: order index and position of each query and of its own key.
    `lo`, `hi` [K]: the interval of queries that sees each key.
    `beacon` [beacons]: embedding index of each beacon. `source` [memory]: row of T that a slot copies,
    or T + gist x f + g for slot g of the gist after fold f (questions' folds come after the context's).
    `fold` [F, beacons], `asked` [Q, beacons]: 1 where a fold reads a beacon.
    `slot_pos` [memory]: its position. `exact` [memory]: 1 where the slot is a recalled exact token.
    """

    order: np.ndarray
    pos: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    beacon: np.ndarray
    source: np.ndarray
    slot_pos: np.ndarray
    exact: np.ndarray
    fold: np.ndarray
    asked: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name."""
        return dict(self.__dict__)


def block_beacons(ratio: int, cut: int = 0) -> list[int]:
    """Last covered rows, within a block, of its beacons. No group crosses `cut` (0: none)."""
    out, start = [], 0
    for end in (cut, BLOCK) if cut else (BLOCK,):
        ends = list(range(start + ratio - 1, end, ratio)) if ratio else []
        if ratio and (not ends or ends[-1] != end - 1):
            ends.append(end - 1)  # the last group is shorter
        out += ends
        start = end
    return out


def beacon_rows(
    ratios: np.ndarray, blocks: int, cuts: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(last covered row, ratio) of each beacon of the first `blocks` blocks, in order.

    `cuts` [blocks]: rows of a block after which the runtime would have cut it; a group of tokens
    ends there. 0 = no cut.
    """
    last, ratio = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for block in range(blocks):
        ends = block_beacons(int(ratios[block]), 0 if cuts is None else int(cuts[block]))
        last.append(block * BLOCK + np.array(ends, np.int64))
        ratio.append(np.full(len(ends), int(ratios[block])))
    return np.concatenate(last), np.concatenate(ratio)


def check(steps: list[Step], sizes: Sizes) -> None:
    """Raises `LayoutError` when the steps break a rule of the layout."""
    context = [s for s in steps if not s.branch]
    if [s.branch for s in steps] != sorted(s.branch for s in steps):
        raise LayoutError("branches come after the context")
    if steps[0].start != 0 or steps[-1].end > sizes.rows or len(steps) > sizes.steps:
        raise LayoutError(f"steps {steps[0].start}..{steps[-1].end} do not fit {sizes}")
    for before, step in zip(steps, steps[1:]):
        if before.end != step.start or step.first < before.first or step.folded < before.folded:
            raise LayoutError(f"step {step} does not follow {before}")
    for step in steps:
        if step.first % BLOCK or step.first > min(step.start, context[-1].end):
            raise LayoutError(f"oldest recent token of {step}")
        left = step.first // BLOCK
        if any(not 0 <= b < left for b in step.recalled + step.asked) or step.folded > left:
            raise LayoutError(f"recalled or folded blocks of {step} have not left the window")
    if len({s.first for s in steps if s.branch}) > 1:
        raise LayoutError("all branches share one recent region")


def build(
    steps: list[Step], ratios: np.ndarray, sizes: Sizes, cuts: np.ndarray | None = None,
    beacons: tuple[np.ndarray, np.ndarray] | None = None,
) -> Layout:  # fmt: skip
    """Lays a sample. `ratios` [blocks]: ratio of each block of the context, 0 = no beacons.

    `beacons`: (last covered row, ratio) of each beacon, ascending, in place of what `ratios` and
    `cuts` give.
    """
    check(steps, sizes)
    n, last_first = sizes.rows, steps[-1].first
    context_end = max(s.end for s in steps if not s.branch)
    last, ratio = beacons or beacon_rows(ratios, last_first // BLOCK, cuts)
    nb = len(last)
    if nb > sizes.beacons:
        raise LayoutError(f"{nb} beacons do not fit {sizes.beacons}")
    total = n + sizes.beacons
    out = Layout(
        order=np.ones(total, np.int64),
        pos=np.zeros(total, np.int64),
        lo=np.zeros(total + sizes.memory, np.int64),
        hi=np.zeros(total + sizes.memory, np.int64),
        beacon=np.zeros(sizes.beacons, np.int64),
        source=np.zeros(sizes.memory, np.int64),
        slot_pos=np.zeros(sizes.memory, np.int64),
        exact=np.zeros(sizes.memory, np.int64),
        fold=np.zeros((sizes.folds, sizes.beacons), np.int64),
        asked=np.zeros((sizes.asks, sizes.beacons), np.int64),
    )
    row = np.arange(n)
    out.order[:n], out.order[n : n + nb] = 2 * row, 2 * last + 1
    out.pos[:n] = row
    for step in steps:
        if step.branch:
            out.pos[step.start : step.end] = context_end + row[: step.end - step.start]
    out.pos[n : n + nb] = out.pos[last]
    out.beacon[:nb] = [RATIOS.index(r) for r in ratio]
    _own_keys(out, steps, last, n)
    _memory_slots(out, steps, last, sizes)
    _shift(out)
    return out


def _own_keys(out: Layout, steps: list[Step], last: np.ndarray, n: int) -> None:
    """Intervals of the tokens' and beacons' own keys."""
    row = np.arange(n)
    end = steps[-1].end
    out.lo[:n], out.hi[:n] = 2 * row, 2 * end
    out.hi[end:n] = out.lo[end:n] + 1  # rows behind the last step see themselves alone
    for step in reversed(steps):
        out.hi[: step.first] = 2 * step.start
        if step.branch:
            out.hi[step.start : step.end] = 2 * step.end
    for step in steps:
        own = np.nonzero((last >= step.start) & (last < step.end))[0]
        out.lo[n + own], out.hi[n + own] = 2 * last[own] + 1, 2 * step.end


def _memory_slots(out: Layout, steps: list[Step], last: np.ndarray, sizes: Sizes) -> None:
    """The memory region of every step: sources, positions, intervals."""
    n, at = sizes.rows, 0
    total = n + sizes.beacons
    block_of = last // BLOCK
    states = _folds(out, steps, block_of, sizes)
    for step, state in zip(steps, states):
        if not step.first:
            continue
        shown = np.nonzero((block_of >= step.folded) & (block_of < step.first // BLOCK))[0]
        gist = total + state * sizes.gist + np.arange(sizes.gist if state >= 0 else 0)
        exact = [np.arange(b * BLOCK, (b + 1) * BLOCK) for b in step.recalled]
        exact = np.concatenate(exact) if exact else np.zeros(0, np.int64)
        source = np.concatenate([np.arange(sizes.sinks), gist, n + shown, exact])
        base = int(out.pos[step.first]) - len(source)
        slots = slice(at, at + len(source))
        at += len(source)
        if at > sizes.memory:
            raise LayoutError(f"{at} memory slots do not fit {sizes.memory}")
        out.source[slots], out.slot_pos[slots] = source, base + np.arange(len(source))
        out.exact[slots] = np.arange(len(source)) >= len(source) - len(exact)
        out.lo[total:][slots], out.hi[total:][slots] = 2 * step.start, 2 * step.end


def _folds(out: Layout, steps: list[Step], block_of: np.ndarray, sizes: Sizes) -> list[int]:
    """Marks what each fold reads; gives the state that each step sees (-1: none)."""
    states, before, state, asks = [], 0, -1, 0
    for step in steps:
        left = np.nonzero((block_of >= before) & (block_of < step.folded))[0]
        before = step.folded
        if sizes.folds and len(left):
            state += 1
            if state >= sizes.folds:
                raise LayoutError(f"more than {sizes.folds} folds")
            out.fold[state, left] = 1
        own = np.nonzero(np.isin(block_of, step.asked))[0]
        if len(own) == 0:
            states.append(state)
            continue
        if asks >= sizes.asks:
            raise LayoutError(f"more than {sizes.asks} folds for questions")
        out.asked[asks, own] = 1
        states.append(sizes.folds + asks)
        asks += 1
    return states


def _shift(out: Layout) -> None:
    """Moves all positions so that none is negative (only differences matter)."""
    low = min(0, int(out.slot_pos.min(initial=0)))
    out.pos -= low
    out.slot_pos -= low


def chunks(end: int, chunk: int, recent: int, tier: int | None = None) -> list[Step]:
    """Context steps of `chunk` tokens up to `end` that keep at most `recent` exact tokens.

    `tier`: blocks that stay as beacons; those before them are folded (None: all stay).
    """
    steps = []
    for start in range(0, end, chunk):
        first = min(-(-max(0, start - recent) // BLOCK) * BLOCK, start // BLOCK * BLOCK)
        folded = 0 if tier is None else max(0, first // BLOCK - tier)
        steps.append(Step(start, min(start + chunk, end), first, folded))
    return steps
