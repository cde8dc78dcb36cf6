"""Ours: the pose and the 3D shape to be expected, given what Ω read and the unpaired poses."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from selfpose.camera import lift
from selfpose.extras.posterior import HARDER, expected_pose, expected_shape, explain
from selfpose.networks import Lifter
from selfpose.skeleton import Skeleton, mirror_pose

KNOWN_POSES = 3072
"""At most so many of the unpaired poses are kept: with more, errors were the same."""


class Expectation(nn.Module):
    """Unpaired poses with the depths that Λ gave them, and how far Ω errs at each joint.

    ``noise`` (J) is a standard deviation on the normalised plane, against the root; ``poses``
    (n, J, 2) are root-centred on that plane; ``depths`` (n, J) are what Λ gave them when it had
    learnt from unpaired poses alone, or, where it learns beside Φ, in the end. Empty until
    :meth:`keep`: then nothing is changed.
    """

    noise: Tensor
    poses: Tensor
    depths: Tensor

    def __init__(self, skeleton: Skeleton, delta: float) -> None:
        super().__init__()
        self.skeleton, self.delta = skeleton, delta
        joints = skeleton.n_joints
        self.register_buffer("noise", torch.zeros(joints))
        self.register_buffer("poses", torch.zeros(0, joints, 2, dtype=torch.float16))
        self.register_buffer("depths", torch.zeros(0, joints, dtype=torch.float16))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *how: Any) -> None:
        for name in ("poses", "depths"):  # as many as there are
            kept = state_dict[prefix + name]
            setattr(self, name, torch.empty_like(kept, device=self.noise.device))
        super()._load_from_state_dict(state_dict, prefix, *how)

    @torch.no_grad()
    def keep(
        self, noise: Float[Tensor, " J"], plane: Float[Tensor, "n J 2"], lifter: Lifter
    ) -> None:
        """Keep some of the unpaired poses (on the plane), evenly spread, as that Λ lifts them."""
        most = min(len(plane), KNOWN_POSES)
        rows = torch.linspace(0, len(plane) - 1, most, dtype=torch.float64).round().long()
        chosen = plane[rows.to(plane.device)].to(self.noise.device)
        self.noise.copy_(noise)
        self.poses = chosen.to(torch.float16)
        self.depths = lifter(chosen)[0].to(torch.float16)

    def known_poses(self) -> Float[Tensor, "m J 2"]:
        """The ``poses``; of bodies with sides mirrored as well."""
        return self._mirrored(self.poses.float())

    def known_shapes(self) -> Float[Tensor, "m J 3"]:
        """:meth:`known_poses` in 3D, method units."""
        return self._mirrored(lift(self.poses.float(), self.depths.float(), delta=self.delta))

    def _mirrored(self, known: Tensor) -> Tensor:
        if self.skeleton.has_sides:
            return torch.cat([known, mirror_pose(known, self.skeleton)])
        return known

    def pose(self, seen: Float[Tensor, "b J 2"]) -> Float[Tensor, "b J 2"]:
        """What Ω read → the poses to be expected given that, both root-centred on the plane."""
        return expected_pose(seen, HARDER * self.noise, self.known_poses(), width=self.noise)

    def shape(
        self, seen: Float[Tensor, "b J 2"], lifted: Float[Tensor, "b J 3"]
    ) -> Float[Tensor, "b J 3"]:
        """What Ω read (plane), and what Λ made of it → the shapes to be expected given the former.

        Of bodies with sides, whose naming Ω may have wrong as a whole, the shapes of either naming
        are asked. Turned, sized and placed as ``lifted`` (method units, camera frame).
        """
        known, shapes = self.known_poses(), self.known_shapes()
        # Puppets are mirrored half the time: the noise of a joint is that of its twin.
        namings = [seen, seen[:, list(self.skeleton.flip)]] if self.skeleton.has_sides else [seen]
        log_weight = torch.cat(
            [explain(n, HARDER * self.noise, known, width=self.noise) for n in namings], dim=-1
        )
        found = expected_shape(log_weight, shapes.repeat(len(namings), 1, 1), lifted)
        root = [self.skeleton.root]
        return found + (lifted[:, root] - found[:, root])
