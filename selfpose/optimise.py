"""What every descent shares: one step down a sum of terms, the rate's decay, terms as numbers."""

import torch
from torch import nn

from torch import Tensor
from selfpose.steps import check_finite


def descend(
    optimiser: torch.optim.Optimizer, terms: dict[str, Tensor], *, stage: str, step: int
) -> None:
    """One step of an optimiser down the sum of the terms, gradients clipped at norm 10."""
    check_finite(terms, stage=stage, step=step)
    if not terms:
        return
    optimiser.zero_grad(set_to_none=True)
    torch.stack(list(terms.values())).sum().backward()
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, 10.0)
    # Finite terms can have gradients that are not; the weights must not take them.
    check_finite({f"gradient of {' + '.join(terms)}": norm}, stage=stage, step=step)
    optimiser.step()


def numbers(terms: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in terms.items()}


def decay_rate(optimiser: torch.optim.Optimizer, step: int, n_steps: int) -> None:
    """Full rate for the first half, then linearly down to a twentieth."""
    share = min(1.0, 2 * (1 - step / n_steps))
    for group in optimiser.param_groups:
        group.setdefault("full_lr", group["lr"])
        group["lr"] = group["full_lr"] * max(share, 0.05)


__all__ = ["decay_rate", "descend", "numbers"]
