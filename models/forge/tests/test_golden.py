"""The committed golden file of the tiny model is what the code makes today."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from forge import golden

KEPT = Path(__file__).parent.parent / "golden" / "tiny"


def test_the_tiny_golden_file_is_current(tmp_path):
    golden.tiny(tmp_path)
    names = "golden short gist_pass memory beacons gist".split()
    for name in (f"{n}.safetensors" for n in names):
        kept, now = load_file(KEPT / name), load_file(tmp_path / name)
        assert kept.keys() == now.keys()
        for k, v in kept.items():
            assert torch.allclose(v.float(), now[k].float(), atol=1e-5), (name, k)


def test_the_golden_sample_uses_every_ratio_and_role():
    kept = load_file(KEPT / "golden.safetensors")
    assert set(kept["ratios"].tolist()) == {4, 8, 16, 32}
    assert kept["exact"].any() and (kept["source"] >= kept["tok"].numel()).any()
