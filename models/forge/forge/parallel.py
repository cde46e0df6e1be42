"""Several processes that train one net: each has a batch of its own, gradients are averaged.

Started by `torchrun --nproc_per_node N -m forge train ...`; alone, nothing here does anything.
"""

from __future__ import annotations

import os

import torch
import torch.distributed as dist


def start() -> tuple[int, int]:
    """Joins the processes that `torchrun` started -> (rank, how many there are)."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return 0, 1
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if cuda else "gloo")
    return dist.get_rank(), world


def stop() -> None:
    """Leaves the processes that were joined."""
    if dist.is_initialized():
        dist.destroy_process_group()


def world() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def first() -> bool:
    """True in the process that writes files."""
    return not dist.is_initialized() or dist.get_rank() == 0


@torch.no_grad()
def average_gradients(parameters: list[torch.Tensor]) -> None:
    """Replaces every gradient by its mean over the processes, in one exchange.

    All processes must have gradients of the same parameters; those without one are left out.
    """
    if world() == 1:
        return
    grads = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.reshape(-1).float() for g in grads])
    dist.all_reduce(flat)
    flat /= world()
    for g, part in zip(grads, flat.split([g.numel() for g in grads])):
        g.copy_(part.view_as(g))


@torch.no_grad()
def from_first(tensors: list[torch.Tensor]) -> None:
    """Overwrites tensors with those of the first process."""
    if world() > 1:
        for t in tensors:
            dist.broadcast(t, 0)


def agree(values: list[float], device) -> list[float]:
    """The first process's numbers, in every process."""
    if world() == 1:
        return values
    t = torch.tensor(values, dtype=torch.float64, device=device)
    dist.broadcast(t, 0)
    return t.tolist()
