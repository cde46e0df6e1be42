"""Muon for matrices (Jordan et al., 2024) beside AdamW for the rest."""

from __future__ import annotations

import torch


def orthogonalise(g: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Newton-Schulz iteration towards the nearest orthogonal matrices of [.., m, n]."""
    x = g.bfloat16() if g.is_cuda else g
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.transpose(-1, -2)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        a = x @ x.transpose(-1, -2)
        x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
    return (x.transpose(-1, -2) if tall else x).to(g.dtype)


class Muon:
    """Momentum, orthogonalised for each matrix. `splits`: rows of the packed parts of a parameter."""

    def __init__(self, parameter: torch.nn.Parameter, splits: tuple[int, ...], lr: float) -> None:
        self.parameter, self.splits, self.lr = parameter, splits, lr
        self.momentum = torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """One update with the learning rate times `scale`; clears the gradient."""
        gradient = self.parameter.grad
        if gradient is None:
            return
        self.momentum.mul_(0.95).add_(gradient)
        update = gradient + 0.95 * self.momentum
        width = self.parameter.shape[-1]
        start = 0
        for rows in self.splits:
            part = orthogonalise(update[:, start : start + rows])
            self.parameter.data[:, start : start + rows].add_(
                part, alpha=-self.lr * scale * 0.2 * width**0.5
            )
            start += rows
        self.parameter.grad = None
