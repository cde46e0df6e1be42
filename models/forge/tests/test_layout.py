"""Invariants of the layout, checked against the words of its description."""

import numpy as np
import pytest
import torch

from forge import layout
from forge.layout import BLOCK, Sizes, Step
from forge.model import dense_mask


def arrays(sample):
    steps, ratios, sizes, _ = sample
    return layout.build(steps, ratios, sizes)


def test_every_token_is_seen_at_most_once_and_in_one_form(sample):
    steps, ratios, sizes, _ = sample
    lay = arrays(sample)
    n, total = sizes.rows, sizes.rows + sizes.beacons
    t = [torch.tensor(x)[None] for x in (lay.order, lay.lo, lay.hi)]
    mask = dense_mask(*t)[0].numpy()
    for step in steps:
        for row in (step.start, step.end - 1):
            seen = mask[row]
            exact = set(np.nonzero(seen[:n])[0].tolist())
            assert not seen[n:total].any(), "a token sees no beacon of its own step"
            slots = np.nonzero(seen[total:])[0]
            sources = lay.source[slots]
            recalled = set(sources[lay.exact[slots] == 1].tolist())
            beacons = sources[sources >= n]
            tokens = sources[lay.exact[slots] == 0]
            assert len(set(tokens.tolist())) == len(tokens)
            assert not recalled & exact
            assert {s for s in tokens if s < n} <= set(range(sizes.sinks))
            covered = set()
            for b in beacons:
                last = (lay.order[b] - 1) // 2
                assert last // BLOCK < step.first // BLOCK
                covered |= set(range(last - int(ratios[last // BLOCK]) + 1, last + 1))
            assert not covered & exact
            context = {r for r in exact if r < 500}
            assert context == set(range(step.first, min(row + 1, 500)))


def test_memory_region_ends_just_before_the_oldest_recent_token(sample):
    steps, _, sizes, _ = sample
    lay = arrays(sample)
    total = sizes.rows + sizes.beacons
    for step in steps:
        slots = np.nonzero(lay.lo[total:] == 2 * step.start)[0]
        slots = [s for s in slots if lay.hi[total + s] == 2 * step.end]
        if not step.first:
            continue
        places = lay.slot_pos[slots]
        assert places.max() == lay.pos[step.first] - 1
        assert sorted(places.tolist()) == list(range(places.min(), places.max() + 1))
    assert min(lay.pos.min(), lay.slot_pos.min()) >= 0


def test_sources_stay_in_order_of_time(sample):
    lay = arrays(sample)
    assert lay.slot_pos[lay.exact == 1].size and (lay.beacon < 4).all()


@pytest.mark.parametrize(
    "steps",
    [
        [Step(0, 64), Step(64, 128, first=32)],
        [Step(0, 64), Step(70, 128)],
        [Step(0, 128, recalled=(0,))],
        [Step(0, 64), Step(64, 80, branch=True), Step(80, 128)],
    ],
)
def test_broken_steps_are_refused(steps):
    with pytest.raises(layout.LayoutError):
        layout.build(steps, np.zeros(2, int), Sizes(rows=128, beacons=16, memory=64))


def test_chunks_keep_the_recent_region_within_its_bound():
    steps = layout.chunks(2000, 256, 512)
    assert steps[-1].end == 2000
    for s in steps:
        assert s.start - s.first <= 512 and s.first % BLOCK == 0
