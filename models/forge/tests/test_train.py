"""Training: several processes, the net as its own teacher, batches with and without folds."""

import os
import socket

import pytest
import torch
import torch.multiprocessing as mp

from forge import parallel, train, weights
from forge.model import Decoder

CONFIG = weights.Config(2, 24, 4, 2, 6, 32, 64, 10000.0, 1e-5, 4096)
SMALL = dict(
    rows=512, beacons=64, memory=768, batch=2, rank=2, loss_rows=160, replay_chat=1, replay_made=0, replay_text=1,
    address_layer=1, branch_rows=256, scale=0.25, warm_up=1, folds=4, asks=2, seconds=1e9,
)  # fmt: skip


class Letters:
    """A tokenizer of characters."""

    def encode(self, text, add_special_tokens=False):
        return type("E", (), {"ids": [ord(c) % 64 for c in text], "offsets": [(i, i + 1) for i in range(len(text))]})()

    def encode_batch(self, texts, add_special_tokens=False):
        return [self.encode(t) for t in texts]


def trainer(**more):
    decoder = Decoder(weights.random(CONFIG, 3), dtype=torch.float32)
    made = train.Trainer(decoder, train.Recipe(**(SMALL | more)), compiled=False)
    torch.manual_seed(1)
    for p in made.net.lora.b.values():
        p.data.normal_(std=0.1)
    return made


def batches(monkeypatch, count, **more):
    from forge import tokens

    monkeypatch.setattr(tokens, "load", lambda path: Letters())
    text = "".join(f"the number {i} is {i * 7919 % 1000} and the key {i * 31 % 77} opens door {i}.\n" for i in range(4000))
    recipe = train.Recipe(**(SMALL | more))
    rows = torch.arange(4 * 512).view(4, 512).numpy() % 64
    stream = iter(train.Stream({"text": text}, {}, None, recipe, [], rows, 1))
    return [next(stream) for _ in range(count)]


def gradients(made, batch):
    losses = made.losses(batch)
    (losses["memory"] + losses["address"] + losses["replay"]).backward()
    return losses


def work(rank, port, batch_pair, path):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    parallel.start()
    made = trainer()
    made.net.has_gist = True
    gradients(made, batch_pair[rank])
    parallel.average_gradients(made.trained)
    grads = [p.grad for p in made.trained]
    after = None
    if rank == 1:
        made.spent = 7.0
    agreed = parallel.agree([made.spent], "cpu")
    made.adam.zero_grad()
    made.net.beacons.qkv.grad = None
    made.run(iter(batch_pair[rank : rank + 1] * 3), 1e9, path / "checkpoint.pt", steps=3)
    after = [p.detach() for p in made.trained]
    torch.save({"grads": grads, "agreed": agreed, "after": after}, path / f"{rank}.pt")
    parallel.stop()


def test_two_processes_equal_one_with_both_batches(monkeypatch, tmp_path):
    pair = batches(monkeypatch, 2)
    made = trainer()
    made.net.has_gist = True
    for batch in pair:
        gradients(made, batch)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    mp.spawn(work, (port, pair, tmp_path), nprocs=2)
    seen = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    assert seen[0]["agreed"] == seen[1]["agreed"] == [0.0]
    for want, a, b in zip(made.trained, seen[0]["grads"], seen[1]["grads"]):
        assert torch.equal(a, b)
        assert torch.allclose(want.grad / 2, a, atol=1e-5 * float(want.grad.abs().max()) + 1e-9)
    moved = 0
    for a, b, start in zip(seen[0]["after"], seen[1]["after"], trainer().trained):
        assert torch.equal(a, b)
        moved += not torch.equal(a, start.detach())
    assert moved > 10 and (tmp_path / "checkpoint.pt").exists()


def test_folds_come_with_every_so_many_batches(monkeypatch):
    made = batches(monkeypatch, 4, fold_every=2)
    assert [b["fold"].shape[1] for b in made] == [4, 0, 4, 0]
    for batch in made[:2]:
        gradients(trainer(), batch)


def test_a_net_that_sees_everything_teaches_itself_nothing():
    torch.manual_seed(0)
    hidden, other = torch.randn(6, 8), torch.randn(6, 8)
    norm, head, targets = torch.ones(8), torch.randn(20, 8), torch.arange(6)
    weight = torch.tensor([0.4, 0.4, 0.4, 5.0, 1.2, 0.0])
    alone, kl = train.taught_loss(hidden, hidden, norm, head, targets, weight, 1e-5, 2.0, 1.0)
    assert kl.abs() < 1e-6
    assert torch.allclose(alone, train.answer_loss(hidden, norm, head, targets, weight, 1e-5), atol=1e-5)
    taught, kl = train.taught_loss(hidden, other, norm, head, targets, weight, 1e-5, 2.0, 1.0)
    logits = lambda x: (x / x.pow(2).mean(-1, keepdim=True).sqrt() @ head.T).log_softmax(-1)  # noqa: E731
    want = (logits(other).exp() * (logits(other) - logits(hidden))).sum(-1)[:3]
    assert torch.allclose(kl, want.mean(), atol=1e-3)
    assert torch.allclose(taught - alone, 2.0 * 0.4 * want.sum() / weight.sum(), atol=1e-3)


@pytest.mark.parametrize("more", [{"teach": 2.0, "recite": 0.5, "fold_every": 2}])
def test_the_loss_falls_with_a_teacher_and_recited_passages(monkeypatch, more):
    made, batch = trainer(lora_lr=5e-3, **more), batches(monkeypatch, 1, **more)[0]
    made.net.start_gist(batch["tok"][:, :256])
    seen = [made.train_step(batch) for _ in range(12)]
    assert float(seen[-1]["memory"].detach()) < 0.9 * float(seen[0]["memory"].detach())
    assert float(seen[0]["text kl"]) > 0
