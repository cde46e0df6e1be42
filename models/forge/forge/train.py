"""Training of a memory, in pieces that resume from a checkpoint.

One step: a batch of memory samples through the exact pass (answers, text, address) and rows of
replay through the plain pass (cross entropy and KL to the base), one backward for both. Text is also
taught by the net itself, which sees all of it exactly in a second pass (`Recipe.teach`).
"""

from __future__ import annotations

import json
import os
import random
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F

from . import parallel, replay
from .data import corpus, facts, mined
from .data.samples import Composer
from .layout import Sizes
from .model import Decoder, rms
from .net import Net, to_device
from .optim import Muon


@dataclass(frozen=True)
class Recipe:
    """All numbers of a training. Rates are peaks; they fall linearly with the time spent."""

    rows: int = 2048
    beacons: int = 384
    memory: int = 4096
    batch: int = 24
    rank: int = 64
    address_layer: int = 18
    loss_rows: int = 640
    replay_chat: int = 10
    replay_made: int = 2
    """Chat rows made of real lines."""
    replay_text: int = 4
    kl_weight: float = 5.0
    muon_lr: float = 1.2e-3
    lora_lr: float = 1.0e-3
    embedding_lr: float = 2.0e-3
    gist_lr: float = 1.0e-3
    address_lr: float = 1.0e-3
    address_pull: float = 0.1
    """Share of the address loss's gradient that reaches the decoder."""
    warm_up: int = 40
    hold: float = 0.3
    """Share of the time before the rates fall."""
    floor: float = 0.05
    branch_rows: int = 416
    """Rows at the end of a sample for questions."""
    steps: int = 24
    """Largest number of steps of a sample: eight chunks, the rest are questions."""
    folds: int = 0
    """Folds of a sample's context into the gist; 0: no gist."""
    fold_every: int = 1
    """Only every so many batches have folds: they cost a quarter of the speed."""
    teach: float = 0.0
    """Weight of KL(everything seen exactly || what the sample sees) on text; 0: cross entropy alone."""
    said: float = 1.0
    """Weight of the cross entropy of text beside it."""
    recite: float = 0.0
    """Share of a sample's branches that continue a passage that only beacons hold."""
    asks: int = 0
    """Questions of a sample that may have a fold of their own."""
    scale: float = 1.0
    """Factor on chunk and window, for tiny models."""
    seconds: float = 1200.0
    """Planned training time, all pieces together."""

    def sizes(self) -> Sizes:
        """Static sizes of a batch."""
        return Sizes(self.rows, self.beacons, self.memory, steps=self.steps, folds=self.folds, asks=self.asks)


class Stream(torch.utils.data.IterableDataset):
    """Batches of memory samples and replay rows, composed by workers."""

    def __init__(self, texts, words, tokenizer_path, recipe: Recipe, chats, chat_rows, seed: int):
        self.texts, self.words, self.tokenizer_path = texts, words, tokenizer_path
        self.recipe, self.chats, self.chat_rows, self.seed = recipe, chats, chat_rows, seed

    def __iter__(self):
        from . import tokens

        info = torch.utils.data.get_worker_info()
        seed = self.seed * 1009 + (info.id if info else 0)
        torch.set_num_threads(1)
        tokenizer, r = tokens.load(self.tokenizer_path), random.Random(seed)
        composer = Composer(
            self.texts, self.words, tokenizer, seed, self.recipe.sizes(), chats=self.chats,
            loss_rows=self.recipe.loss_rows, branch_rows=self.recipe.branch_rows,
            scale=self.recipe.scale, wide="verb" in self.words, recite=self.recipe.recite,
        )  # fmt: skip
        number, workers = (info.id, info.num_workers) if info else (0, 1)
        with_folds = self.recipe.sizes()
        plain = {n: t for n, t in self.texts.items() if not n.startswith("logs")} or self.texts
        while True:
            folds = number % self.recipe.fold_every == 0
            composer.sizes = with_folds if folds else replace(with_folds, folds=0, asks=0)
            number += workers  # batches come from the workers in turn
            batch = composer.batch(self.recipe.batch)
            picked = [r.randrange(len(self.chat_rows)) for _ in range(self.recipe.replay_chat)]
            rows = [torch.from_numpy(self.chat_rows[picked].astype("int64"))]
            for make, count in ((replay.chat_rows, self.recipe.replay_made), (replay.text_rows, self.recipe.replay_text)):  # fmt: skip
                if count:
                    rows.append(torch.from_numpy(make(plain, tokenizer, count, r)))
            batch["replay"] = torch.cat(rows)
            yield {k: torch.as_tensor(v) for k, v in batch.items()}


def answer_loss(hidden, norm, head, targets, weight, eps: float):
    """Weighted next-token loss of chosen rows [n, D]."""
    logits = (rms(hidden, norm, eps) @ head.T).float()
    loss = F.cross_entropy(logits, targets, reduction="none")
    return (loss * weight).sum() / weight.sum().clamp(min=1)


def taught_loss(hidden, teacher, norm, head, targets, weight, eps: float, teach: float, said: float):
    """The same, where rows of text (weight at most 1) are taught by `teacher`'s next-token distribution.

    Returns (loss, mean KL of the rows of text).
    """
    new = (rms(hidden, norm, eps) @ head.T).float().log_softmax(-1)
    seen = (rms(teacher, norm, eps) @ head.T).float().log_softmax(-1)
    kl = (seen.exp() * (seen - new)).sum(-1)
    ce = F.nll_loss(new, targets, reduction="none")
    text = (weight > 0) & (weight <= 1)
    loss = torch.where(text, said * ce + teach * kl, ce)
    mean = (kl * text).sum() / text.sum().clamp(min=1)
    return (loss * weight).sum() / weight.sum().clamp(min=1), mean.detach()


class Trainer:
    """A net with its optimisers, its clock and its checkpoints."""

    def __init__(self, decoder: Decoder, recipe: Recipe, compiled: bool) -> None:
        torch.manual_seed(0)
        self.decoder, self.recipe, self.compiled = decoder, recipe, compiled
        self.net = Net(decoder, recipe.rank, recipe.address_layer)
        c = decoder.config
        kv = c.kv_heads * c.head_dim
        self.muon = Muon(self.net.beacons.qkv, (c.heads * c.head_dim, kv, kv), recipe.muon_lr)
        self.lora_parameters = list(self.net.lora.parameters())
        groups = [
            {"params": self.lora_parameters, "peak": recipe.lora_lr},
            {"params": [self.net.beacons.embedding], "peak": recipe.embedding_lr},
            {"params": list(self.net.address.parameters()), "peak": recipe.address_lr},
            {"params": list(self.net.gist.parameters()), "peak": recipe.gist_lr},
        ]
        self.adam = torch.optim.AdamW(
            groups, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0, fused=decoder.device != "cpu"
        )
        self.step, self.spent, self.tokens = 0, 0.0, 0
        self.answer_loss, self.taught_loss, self.replay_loss = answer_loss, taught_loss, replay.replay_loss
        self.trained = [p for group in groups for p in group["params"]] + [self.net.beacons.qkv]
        if compiled:
            decoder.compile()
            self.answer_loss = torch.compile(answer_loss, dynamic=False)
            self.taught_loss = torch.compile(taught_loss, dynamic=False)
            self.replay_loss = torch.compile(replay.replay_loss, dynamic=False)

    def scale(self) -> float:
        """Factor on all rates: warm-up, then a linear fall after `hold` of the time."""
        r = self.recipe
        done = min(1.0, self.spent / r.seconds)
        fall = max(0.0, done - r.hold) / (1 - r.hold)
        return min(1.0, (self.step + 1) / r.warm_up) * (1 - fall * (1 - r.floor))

    def losses(self, batch: dict) -> dict[str, torch.Tensor]:
        """All losses of a batch."""
        layers = self.net.lora.merged(self.decoder)
        hidden, middle = self.net.run(batch, layers, flex=self.compiled)
        width = hidden.shape[-1]
        before = (batch["target"] - 1).clamp(min=0)
        rows = hidden.gather(1, before[..., None].expand(-1, -1, width)).reshape(-1, width)
        targets = batch["tok"].gather(1, batch["target"]).reshape(-1)
        weight = batch["weight"].reshape(-1).float()
        d, r = self.decoder, self.recipe
        if r.teach:
            with torch.no_grad():
                seen, _ = d.plain(batch["tok"], layers)
                seen = seen.gather(1, before[..., None].expand(-1, -1, width)).reshape(-1, width)
            memory, kl = self.taught_loss(
                rows, seen, d.norm, d.head, targets, weight, d.config.norm_eps, r.teach, r.said
            )
            out = {"memory": memory, "text kl": kl}
        else:
            out = {"memory": self.answer_loss(rows, d.norm, d.head, targets, weight, d.config.norm_eps)}
        pull = self.recipe.address_pull
        middle = middle * pull + middle.detach() * (1 - pull)
        out["address"], out["found"] = self.net.address.loss(
            middle, batch["query"], batch["positive"]
        )
        out["replay"], out["chat"], out["kl"] = replay.step_loss(
            d, layers, batch["replay"], self.replay_loss, self.recipe.kl_weight
        )
        return out

    def train_step(self, batch: dict) -> dict[str, torch.Tensor]:
        """One update."""
        losses = self.losses(batch)
        (losses["memory"] + losses["address"] + losses["replay"]).backward()
        scale = self.scale()
        for group in self.adam.param_groups:
            group["lr"] = group["peak"] * scale
        parallel.average_gradients(self.trained)
        torch.nn.utils.clip_grad_norm_(self.lora_parameters, 1.0)
        self.muon.step(scale)
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += batch["tok"].numel() * parallel.world()
        return losses

    def save(self, path: Path) -> None:
        """Writes the checkpoint (atomically); the first process alone does."""
        if not parallel.first():
            return
        state = {
            "tensors": {k: v.cpu() for k, v in self.net.tensors().items()},
            "adam": self.adam.state_dict(),
            "muon": self.muon.momentum.cpu(),
            "step": self.step,
            "spent": self.spent,
            "tokens": self.tokens,
            "recipe": asdict(self.recipe),
        }
        part = path.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, path)

    def start_from(self, memory: Path) -> None:
        """Starts from exported files; beacons that are not there start from the changed projections."""
        from .export import read

        tensors = read(memory)
        self.net.load(tensors)
        if "beacon.qkv" not in tensors:
            with torch.no_grad():
                self.net.beacons.qkv.copy_(self.net.lora.merged(self.decoder).qkv)

    def resume(self, path: Path) -> None:
        """Continues from a checkpoint."""
        state = torch.load(path, map_location="cpu", weights_only=False)
        self.net.load(state["tensors"])
        self.adam.load_state_dict(state["adam"])
        self.muon.momentum.copy_(state["muon"])
        self.step, self.spent, self.tokens = state["step"], state["spent"], state["tokens"]

    def run(self, stream, seconds: float, checkpoint: Path, steps: int = 0, every: float = 100.0):
        """Trains for `seconds` of this piece (or `steps`), or until the planned time is spent.

        The first of several processes keeps the clock.
        """
        start = last = saved = tick = time.time()
        first, waited, idle, spent = self.step, 0.0, time.time(), self.spent
        parallel.from_first(self.trained)
        for batch in stream:
            waited += time.time() - idle
            batch = to_device(batch, self.decoder.device)
            if self.recipe.folds and not self.net.has_gist:
                self.net.start_gist(batch["tok"][:4, : self.recipe.rows // 128 * 64])
                parallel.from_first(list(self.net.gist.parameters()))
            losses = self.train_step(batch)
            if self.step - first == 6:  # compiled by now: the clock starts
                if self.compiled:
                    torch.cuda.synchronize()
                start = last = tick = time.time()
            report = self.step % 50 == 0 or self.step - first in (1, 2, 6)
            if report or not self.compiled:
                values = {k: round(float(v.detach()), 3) for k, v in losses.items() if v is not None}
                now = time.time()
                rate = batch["tok"].numel() * parallel.world() * 50 / max(now - last, 1e-6)
                if report:
                    parallel.from_first(self.trained)  # against a slow drift of rounding
                if report and parallel.first():
                    print(f"step {self.step} spent {self.spent:.0f} {values} tok/s {rate:.0f} waited {waited:.1f}", flush=True)
                last, waited = now, 0.0
            now = time.time()
            spent += now - tick if self.step - first > 6 or not self.compiled else 0.0
            tick = now
            if now - saved > every:
                self.save(checkpoint)
                saved = time.time()
            done = bool(steps and self.step - first >= steps)
            if done or parallel.world() == 1 or self.step % 10 == 0:
                over = done or now - start > seconds or spent >= self.recipe.seconds
                self.spent, over = parallel.agree([spent, float(over)], self.decoder.device)
                if over:
                    break
            idle = time.time()
        if self.compiled:
            torch.cuda.synchronize()
            print("peak GB", torch.cuda.max_memory_allocated() / 1e9, flush=True)
        self.save(checkpoint)


def prepare(text_dir: Path, recipe: Recipe, tokenizer_path: Path, replay_path: Path, seed: int, bytes_max=None):
    """The stream of a training from packed texts and replay rows.

    `words.json` beside the texts holds what was mined from them before.
    """
    texts = {n: corpus.read(text_dir, n, bytes_max=bytes_max) for n in corpus.names()}
    mined_ = text_dir / "words.json"
    if mined_.exists():
        words = json.loads(mined_.read_text())
    else:
        words = facts.words_from(texts["books"][:6_000_000] + texts["wikipedia"][:6_000_000])
        words |= mined.mine(texts)
    known = text_dir / "synonyms.json"
    if known.exists():
        words["synonyms"] = json.loads(known.read_text())
    chat_rows, chats = replay.load(replay_path)
    return Stream(texts, words, tokenizer_path, recipe, chats, chat_rows, seed)


def loader(stream: Stream, workers: int, pin: bool):
    """A loader over a stream; its workers are forked so that they share the texts."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if not workers:
        return iter(stream)
    return iter(
        torch.utils.data.DataLoader(
            stream, batch_size=None, num_workers=workers, prefetch_factor=4, pin_memory=pin
        )
    )
