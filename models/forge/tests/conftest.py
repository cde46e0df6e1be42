"""Shared pieces of the tests: a tiny decoder and samples with every role in them."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from forge import weights  # noqa: E402
from forge.layout import Sizes, Step  # noqa: E402
from forge.model import Decoder  # noqa: E402

torch.set_num_threads(2)


@pytest.fixture
def config():
    return weights.Config(
        layers=2, width=24, heads=4, kv_heads=2, head_dim=6, hidden=32, vocab=64,
        rope_theta=10000.0, norm_eps=1e-5, positions=4096,
    )  # fmt: skip


@pytest.fixture
def decoder(config):
    return Decoder(weights.random(config, seed=3), dtype=torch.float64)


@pytest.fixture
def sample():
    """Steps of uneven lengths with a sliding recent region, mixed ratios, recall and branches."""
    steps = [
        Step(0, 128),
        Step(128, 200),
        Step(200, 320, first=64),
        Step(320, 448, first=192, folded=1),
        Step(448, 500, first=320, folded=1, recalled=(1,)),
        Step(500, 517, first=384, folded=2, recalled=(0, 2), branch=True),
        Step(517, 530, first=384, folded=2, branch=True),
        Step(530, 540, first=384, folded=2, recalled=(3, 4, 5), branch=True),
    ]
    ratios = np.array([8, 4, 16, 0, 32, 4, 8, 8])
    sizes = Sizes(rows=544, beacons=64, memory=1024)
    tokens = np.random.default_rng(5).integers(0, 64, sizes.rows)
    return steps, ratios, sizes, tokens
