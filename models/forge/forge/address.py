"""The address: what a block is found by, and what a question looks for.

Both are read off the residual stream at the input of one layer. A block of 64 tokens gives four unit
vectors (one for each 16 tokens); a question gives one; the score is the largest of the four dot
products.

    h = rms(x)                                        no gain
    memory_key[s] = unit(sum_i softmax_i(h_i . gate_key) h_i  @ key)       over the 16 tokens of s
    memory_query  = unit(sum_i softmax_i(h_i . gate_query) h_i @ query)    over the question's tokens
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .gist import ADDRESS
from .layout import BLOCK
from .model import rms
from .weights import Config

SLOTS = 4
DIM = ADDRESS


class Address(nn.Module):
    """Projections and gates of one layer, and the temperature of the training loss."""

    def __init__(self, config: Config, layer: int, dim: int = DIM) -> None:
        super().__init__()
        self.layer, self.eps = layer, config.norm_eps
        scale = config.width**-0.5
        self.key = nn.Parameter(torch.randn(config.width, dim) * scale)
        self.query = nn.Parameter(torch.randn(config.width, dim) * scale)
        self.gate_key = nn.Parameter(torch.randn(config.width) * scale)
        self.gate_query = nn.Parameter(torch.randn(config.width) * scale)
        self.sharpness = nn.Parameter(torch.tensor(2.7))

    def keys(self, x: torch.Tensor) -> torch.Tensor:
        """memory_key of whole blocks: [B, n x 64, D] -> [B, n, 4, dim]."""
        b, n, d = x.shape
        h = rms(x, None, self.eps).to(self.key.dtype).view(b, n // BLOCK, SLOTS, BLOCK // SLOTS, d)
        w = (h @ self.gate_key).softmax(-1)
        return F.normalize((w[..., None] * h).sum(-2) @ self.key, dim=-1)

    def queries(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """memory_query of questions: [Q, n, D] with the valid tokens' mask [Q, n] -> [Q, dim]."""
        h = rms(x, None, self.eps).to(self.query.dtype)
        w = (h @ self.gate_query).masked_fill(~mask, -1e9).softmax(-1)
        return F.normalize((w[..., None] * h).sum(-2) @ self.query, dim=-1)

    def score(self, query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """[Q, dim] x [K, 4, dim] -> [Q, K]: the largest of a block's dot products."""
        k, s, d = keys.shape
        return (query @ keys.reshape(k * s, d).T).view(-1, k, s).amax(-1)

    def loss(self, x, query_spans, positives):
        """Contrastive loss of the batch's questions against all blocks of the batch.

        `x` [B, N, D]; `query_spans` [B, n, 2] (-1: none); `positives` [B, n, p] global block numbers
        (-1: none). Returns (loss, share of questions whose best block is right).

        A queue of older keys as further negatives does not work here: positives are always new, so
        the loss falls when all new keys drift away from the old ones, and nothing else is learnt.
        """
        keys = self.keys(x).flatten(0, 1)
        valid = query_spans[..., 0] >= 0
        if not valid.any():
            return x.sum() * 0.0 + sum(p.sum() for p in self.parameters()) * 0.0, None
        sample = valid.nonzero()[:, 0]
        spans, good = query_spans[valid], positives[valid]
        longest = 48
        rows = spans[:, :1] + torch.arange(longest, device=x.device)[None]
        mask = rows < spans[:, 1:]
        picked = x[sample[:, None], rows.clamp(max=x.shape[1] - 1)]
        scores = self.score(self.queries(picked, mask), keys) * self.sharpness.exp()
        hit = torch.zeros(scores.shape, dtype=torch.bool, device=x.device)
        hit.scatter_(1, good.clamp(min=0), good >= 0)
        hit[:, 0] |= (good == 0).any(1)  # a padded -1 may have overwritten block 0
        lost = scores.logsumexp(1) - scores.masked_fill(~hit, -1e9).logsumexp(1)
        right = hit.gather(1, scores.argmax(1, keepdim=True)).float().mean()
        return lost.mean(), right

    def tensors(self) -> dict[str, torch.Tensor]:
        """`address.{key,query,gate_key,gate_query,sharpness}`."""
        return {f"address.{n}": p.data for n, p in self.named_parameters()}

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Takes the tensors that `tensors` gives."""
        for n, p in self.named_parameters():
            p.data.copy_(tensors[f"address.{n}"])
