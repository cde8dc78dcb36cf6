"""How thick limbs are, from silhouettes and from 2D poses of other moments. Ours.

Nothing is found in a picture for it. The mean power spectrum of many silhouettes does not depend on
where bodies stand, and hardly on which moments were taken; it does on how thick limbs are. So limbs
get the thickness at which drawings of the unpaired poses have the spectrum of the silhouettes.
"""

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional

from selfpose.render import draw_bones
from selfpose.skeleton import Skeleton

SIZE = 64  # side at which spectra are compared, pixels, unless pictures are smaller
STEPS, BATCH, RATE = 120, 96, 0.05  # of the descent
SHARPNESS = 12.0  # slope of the step that makes a drawing's soft limbs solid
MOST_COVERED = 0.7  # share of the pictures that bodies cover at most; a guess, far above any here
EVENNESS = 0.01  # weight of the variance of log γ: what the spectrum leaves open is near the mean


def solid(foreground: UInt8[Tensor, "n H W"]) -> Bool[Tensor, "n H W"]:
    """Where the foreground is rather sure, and most of the eight neighbours are too: no specks."""
    sure = (foreground > 127).float()
    return functional.avg_pool2d(sure[:, None], 3, stride=1, padding=1)[:, 0] > 0.5


def edge_spectrum(shapes: Float[Tensor, "n H H"]) -> Float[Tensor, "F G"]:
    """Mean power spectrum times frequency, which weighs outlines more than bulk.

    Pictures are padded to twice their side, so that nothing wraps around; frequencies in cycles a
    padded picture, horizontal ones from zero up.
    """
    size = 2 * shapes.shape[-1]
    power = torch.fft.rfft2(shapes, s=(size, size)).abs().square().mean(dim=0)
    vertical = torch.fft.fftfreq(size, 1 / size, device=shapes.device)[:, None]
    horizontal = torch.fft.rfftfreq(size, 1 / size, device=shapes.device)
    return power * (vertical.square() + horizontal.square()).sqrt()


def fit_thickness(
    shapes: Float[Tensor, "n H H"],
    poses: Float[Tensor, "m J 2"],
    skeleton: Skeleton,
    *,
    start: float,
    generator: torch.Generator,
) -> Float[Tensor, " B"]:
    """γ of each bone at which drawings of poses have the edge spectrum of the silhouettes (Adam).

    ``shapes``, silhouettes in [0, 1], and ``poses`` in [0, 1] image coordinates need not belong
    together, but must show bodies at about the same scale. γ starts at ``start``; mirror twins get
    the same.
    """
    covered = float(shapes.mean())
    if not 0 < covered < MOST_COVERED:
        raise ValueError(
            f"no limb can be measured: silhouettes cover {covered:.0%} of the pictures, where more "
            f"than 0 and less than {MOST_COVERED:.0%} are expected. Do the cameras stand still, "
            "and does a body move? Otherwise learn the limbs' thickness, or drop sil and puppet"
        )
    size = min(SIZE, shapes.shape[-1])
    aim = edge_spectrum(functional.adaptive_avg_pool2d(shapes[:, None], size)[:, 0])
    log_gamma = torch.full((skeleton.n_bones,), start, device=poses.device).log()
    twins = list(skeleton.flipped_bones)
    with torch.enable_grad():
        log_gamma.requires_grad_()
        descent = torch.optim.Adam([log_gamma], lr=RATE)
        for _ in range(STEPS):
            rows = torch.randint(len(poses), (BATCH,), generator=generator).to(poses.device)
            even = (log_gamma + log_gamma[twins]) / 2
            drawn = draw_bones(poses[rows], list(skeleton.bones), size=size, gamma=even.exp())
            found = edge_spectrum(torch.sigmoid(SHARPNESS * (drawn - 0.5)))
            miss = (found - aim).square().sum() / aim.square().sum()
            loss = miss + EVENNESS * even.var(correction=0)
            (log_gamma.grad,) = torch.autograd.grad(loss, log_gamma)
            descent.step()
    log_gamma = log_gamma.detach()
    return ((log_gamma + log_gamma[twins]) / 2).exp()
