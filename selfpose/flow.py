"""The flow prior: how probable is a 2D pose? PCA, then affine couplings, trained by likelihood."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class WhiteningPCA(nn.Module):
    """Projects flattened poses (2J) onto their first principal components, unit variance each."""

    mean: Tensor
    basis: Tensor
    scale: Tensor

    def __init__(self, *, n_features: int, n_components: int) -> None:
        super().__init__()
        if not 2 <= n_components <= n_features - 2:
            raise ValueError(
                f"the flow prior can keep 2 to {n_features - 2} components of poses with "
                f"{n_features} coordinates (the root's two are zero), not {n_components}"
            )
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("basis", torch.eye(n_components, n_features))
        self.register_buffer("scale", torch.ones(n_components))

    def fit(self, poses: Float[Tensor, "N F"]) -> None:
        """Set mean, directions and standard deviations from poses."""
        n = len(self.basis)
        self.mean.copy_(poses.mean(dim=0))
        _, s, vh = torch.linalg.svd((poses - self.mean).double(), full_matrices=False)
        if len(poses) <= n or s[n - 1] < 1e-6 * s[0]:
            raise ValueError(
                f"{len(poses)} poses vary in fewer than the {n} directions that the flow prior is "
                "to keep: bring more varied poses, or keep fewer components"
            )
        self.basis.copy_(vh[:n])
        self.scale.copy_(s[:n] / math.sqrt(len(poses) - 1))

    def forward(self, poses: Float[Tensor, "*b F"]) -> Float[Tensor, "*b K"]:
        return ((poses - self.mean) @ self.basis.mT) / self.scale

    def inverse(self, code: Float[Tensor, "*b K"]) -> Float[Tensor, "*b F"]:
        """Back to pose space; what the dropped components held is lost."""
        return (code * self.scale) @ self.basis + self.mean


class AffineCoupling(nn.Module):
    """One coupling block: rotate by a fixed orthogonal matrix, then scale and shift one half.

    The second half becomes x₂ · exp(s(x₁)) + t(x₁), so the log-determinant is the sum of s, which
    is kept within ±``bound`` by a scaled tanh.
    """

    rotation: Tensor

    def __init__(self, dim: int, width: int, bound: float = 2.0) -> None:
        super().__init__()
        self.kept = dim // 2
        self.bound = bound
        self.register_buffer("rotation", torch.linalg.qr(torch.randn(dim, dim)).Q)
        changed = dim - self.kept
        self.net = nn.Sequential(
            nn.Linear(self.kept, width), nn.ReLU(), nn.Linear(width, 2 * changed)
        )
        for parameter in self.net[-1].parameters():
            nn.init.zeros_(parameter)

    def _scale_shift(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self.net(kept).chunk(2, dim=-1)
        return self.bound * torch.tanh(log_scale / self.bound), shift

    def forward(self, x: Float[Tensor, "*b K"]) -> tuple[Tensor, Tensor]:
        x = x @ self.rotation
        kept, changed = x[..., : self.kept], x[..., self.kept :]
        log_scale, shift = self._scale_shift(kept)
        y = torch.cat([kept, changed * log_scale.exp() + shift], dim=-1)
        return y, log_scale.sum(dim=-1)

    def inverse(self, y: Float[Tensor, "*b K"]) -> Float[Tensor, "*b K"]:
        kept, changed = y[..., : self.kept], y[..., self.kept :]
        log_scale, shift = self._scale_shift(kept)
        return torch.cat([kept, (changed - shift) * (-log_scale).exp()], dim=-1) @ self.rotation.mT


class FlowPrior(nn.Module):
    """log p(y) of a root-centred 2D pose on the normalised plane, by PCA and a coupling flow.

    The density is that of the whitened PCA code, in nats: comparable between poses, not between
    priors with different PCAs. ``width`` is that of each coupling block's hidden layer. Source:
    the term L_NF, after ElePose (Wandt et al. 2022), which keeps 26 components for 17 joints.
    """

    def __init__(
        self, *, n_joints: int, n_components: int = 26, n_blocks: int = 8, width: int = 256
    ) -> None:
        super().__init__()
        self.n_joints = n_joints
        self.pca = WhiteningPCA(n_features=2 * n_joints, n_components=n_components)
        self.blocks = nn.ModuleList(AffineCoupling(n_components, width) for _ in range(n_blocks))

    @property
    def n_components(self) -> int:
        return len(self.pca.scale)

    def code_to_noise(self, code: Float[Tensor, "*b K"]) -> tuple[Tensor, Tensor]:
        """PCA code → noise z, with log |det ∂z/∂code|."""
        log_det = torch.zeros_like(code[..., 0])
        for block in self.blocks:
            code, contribution = block(code)
            log_det = log_det + contribution
        return code, log_det

    def noise_to_code(self, noise: Float[Tensor, "*b K"]) -> Float[Tensor, "*b K"]:
        """The exact inverse of :meth:`code_to_noise`."""
        for block in reversed(self.blocks):
            noise = block.inverse(noise)  # type: ignore[operator]
        return noise

    def pose_to_noise(self, pose: Float[Tensor, "*b J 2"]) -> Float[Tensor, "*b K"]:
        """2D pose → noise."""
        return self.code_to_noise(self.pca(pose.flatten(-2)))[0]

    def noise_to_pose(self, noise: Float[Tensor, "*b K"]) -> Float[Tensor, "*b J 2"]:
        """Noise → 2D pose, inside the span of the PCA."""
        return self.pca.inverse(self.noise_to_code(noise)).unflatten(-1, (self.n_joints, 2))

    def log_prob(self, pose: Float[Tensor, "*b J 2"]) -> Float[Tensor, "*b"]:
        """log p(y) in nats."""
        noise, log_det = self.code_to_noise(self.pca(pose.flatten(-2)))
        constant = 0.5 * self.n_components * math.log(2 * math.pi)
        return log_det - 0.5 * noise.square().sum(dim=-1) - constant

    def sample(
        self, n: int, *, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n J 2"]:
        """Draw poses; a ``temperature`` below 1 draws them closer to typical ones."""
        noise = torch.randn(n, self.n_components, generator=generator)
        return self.noise_to_pose(temperature * noise.to(self.pca.scale))

    forward = log_prob
