"""The one exact pass equals the loop over steps, forward and gradient, in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import loop
from forge import layout
from forge.gist import Gist
from forge.layout import Step
from forge.model import batch_layouts


def parameters(decoder):
    torch.manual_seed(1)
    c = decoder.config
    beacon_qkv = (decoder.layers.qkv + 0.3 * torch.randn_like(decoder.layers.qkv)).requires_grad_()
    beacon_embedding = torch.randn(4, c.width, dtype=torch.float64, requires_grad=True)
    decoder.layers.qkv.requires_grad_()
    decoder.embedding.requires_grad_()
    return decoder.layers.qkv, decoder.embedding, beacon_qkv, beacon_embedding


CUTS = (np.array([27, 0, 40, 0, 30, 24, 0, 33, 0, 0, 0, 0]), None)


@pytest.mark.parametrize("cuts", CUTS)
def test_forward_and_gradient_equal_the_loop(decoder, sample, cuts):
    steps, ratios, sizes, tokens = sample
    leaves = parameters(decoder)
    lay = layout.build(steps, ratios, sizes, cuts)
    batch = batch_layouts([lay.arrays()], tokens[None])
    hidden, _ = decoder.run(batch, beacon_qkv=leaves[2], beacon_embedding=leaves[3])
    truth = loop.run(decoder, steps, ratios, tokens, leaves[2], leaves[3], cuts=cuts)
    rows = sorted(truth)
    want = torch.stack([truth[r] for r in rows])
    got = hidden[0, rows]
    assert (got - want).abs().max() < 1e-10

    probe = torch.randn_like(want)
    got_grad = torch.autograd.grad((got * probe).sum(), leaves)
    want_grad = torch.autograd.grad((want * probe).sum(), leaves)
    for a, b in zip(got_grad, want_grad):
        assert b.abs().max() > 0
        assert (a - b).abs().max() < 1e-9 * b.abs().max()


GIST_STEPS = [
    Step(0, 128),
    Step(128, 200),
    Step(200, 320, first=64, folded=1),
    Step(320, 448, first=192, folded=2),
    Step(448, 500, first=320, folded=4, recalled=(1,)),
    Step(500, 517, first=384, folded=5, recalled=(0, 2), branch=True),
    Step(517, 530, first=384, folded=5, branch=True, asked=(0, 2, 5)),
    Step(530, 540, first=384, folded=5, recalled=(3,), branch=True, asked=(1,)),
]


@pytest.mark.parametrize("cuts", CUTS)
def test_the_gist_equals_the_loop_forward_and_gradient(decoder, sample, cuts):
    """Folds of one, one, two and one blocks (one of them without beacons), two for questions."""
    _, ratios, _, tokens = sample
    sizes = layout.Sizes(rows=544, beacons=64, memory=1024, folds=5, asks=3, gist=5)
    leaves = parameters(decoder)
    folding = Gist(decoder.config, 5, 7).double()
    for p in folding.parameters():
        p.data = p.data + 0.3 * torch.randn_like(p)
    question = torch.nn.functional.normalize(torch.randn(3, 128, dtype=torch.float64), dim=-1)
    lay = layout.build(GIST_STEPS, ratios, sizes, cuts)
    batch = batch_layouts([lay.arrays()], tokens[None]) | {"question": question[None]}
    hidden, _ = decoder.run(
        batch, beacon_qkv=leaves[2], beacon_embedding=leaves[3], folding=folding
    )
    asked = {GIST_STEPS[-2]: question[0], GIST_STEPS[-1]: question[1]}
    truth = loop.run(
        decoder, GIST_STEPS, ratios, tokens, leaves[2], leaves[3], cuts=cuts, folding=folding,
        questions=asked,
    )  # fmt: skip
    rows = sorted(truth)
    want, got = torch.stack([truth[r] for r in rows]), hidden[0, rows]
    assert (got - want).abs().max() < 1e-10

    leaves = (*leaves, *folding.parameters())
    probe = torch.randn_like(want)
    got_grad = torch.autograd.grad((got * probe).sum(), leaves)
    want_grad = torch.autograd.grad((want * probe).sum(), leaves)
    for a, b in zip(got_grad, want_grad):
        assert b.abs().max() > 0
        assert (a - b).abs().max() < 1e-9 * b.abs().max()


def test_room_for_a_gist_changes_nothing_while_nothing_has_folded(decoder, sample):
    steps, ratios, sizes, tokens = sample
    steps = [replace(s, folded=0) for s in steps]
    _, _, beacon_qkv, beacon_embedding = parameters(decoder)
    roomy = replace(sizes, folds=3, asks=2, gist=5)
    folding = Gist(decoder.config, 5, 7).double()
    a, b = (
        decoder.run(
            batch_layouts([layout.build(steps, ratios, size).arrays()], tokens[None]),
            beacon_qkv=beacon_qkv, beacon_embedding=beacon_embedding, folding=fold,
        )[0]
        for size, fold in ((sizes, None), (roomy, folding))
    )  # fmt: skip
    assert torch.equal(a, b)


def test_a_question_step_changes_no_other_row(decoder, sample):
    steps, ratios, sizes, tokens = sample
    _, _, beacon_qkv, beacon_embedding = parameters(decoder)
    lay = layout.build(steps, ratios, sizes)
    other = tokens.copy()
    other[500:517] = (other[500:517] + 7) % 64

    def hidden(t):
        batch = batch_layouts([lay.arrays()], t[None])
        return decoder.run(batch, beacon_qkv=beacon_qkv, beacon_embedding=beacon_embedding)[0][0]

    a, b = hidden(tokens), hidden(other)
    same = [r for r in range(540) if not 500 <= r < 517]
    assert torch.equal(a[same], b[same])
    assert not torch.equal(a[500:517], b[500:517])


def test_exact_keys_do_not_depend_on_the_ratio_while_nothing_has_left(decoder, sample):
    _, _, _, tokens = sample
    sizes = layout.Sizes(rows=256, beacons=128, memory=256)
    _, _, beacon_qkv, beacon_embedding = parameters(decoder)
    steps = [layout.Step(0, 128), layout.Step(128, 192), layout.Step(192, 256, first=128)]
    out = []
    for ratio in (0, 4, 32):
        lay = layout.build(steps, np.full(4, ratio), sizes)
        batch = batch_layouts([lay.arrays()], tokens[None, :256])
        out.append(decoder.run(batch, beacon_qkv=beacon_qkv, beacon_embedding=beacon_embedding)[0])
    assert torch.equal(out[0][0, :192], out[1][0, :192])
    assert torch.equal(out[0][0, :192], out[2][0, :192])
    assert not torch.equal(out[1][0, 192:256], out[2][0, 192:256])


def test_padding_changes_nothing(decoder, sample):
    steps, ratios, sizes, tokens = sample
    _, _, beacon_qkv, beacon_embedding = parameters(decoder)
    small = layout.build(steps, ratios, sizes)
    large = layout.build(steps, ratios, layout.Sizes(rows=544, beacons=96, memory=1500))
    a, b = (
        decoder.run(
            batch_layouts([x.arrays()], tokens[None]),
            beacon_qkv=beacon_qkv, beacon_embedding=beacon_embedding,
        )[0][0, :540]
        for x in (small, large)
    )  # fmt: skip
    assert (a - b).abs().max() < 1e-12
