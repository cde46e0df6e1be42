"""Mixing memories adds their changes."""

import torch

from forge import export
from forge.net import Net


def test_a_mixture_at_full_rank_is_the_weighted_sum(decoder, tmp_path):
    nets = []
    for i in range(2):
        torch.manual_seed(i)
        net = Net(decoder, rank=2, address_layer=1)
        for p in net.lora.parameters():
            p.data.normal_()
        export.write(net.tensors(), tmp_path / str(i), dtype=torch.float32)
        nets.append(net)
    parts = [(tmp_path / "0", 0.6), (tmp_path / "1", 0.5)]
    stays = export.mix(parts, 4, tmp_path / "out")
    assert all(s > 0.99999 for s in stays.values())
    got = export.net_of(decoder, tmp_path / "out", 1)
    for m in ("wq", "down"):
        want = 0.6 * nets[0].lora.delta(m) + 0.5 * nets[1].lora.delta(m)
        assert (got.lora.delta(m) - want).abs().max() < 0.02  # files keep float16
    assert torch.allclose(got.address.key, nets[0].address.key)
    assert 0 < min(export.mix(parts, 2, tmp_path / "less").values()) < 1
