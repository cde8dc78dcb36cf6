"""Φ → Ω → Λ: from a picture to a 3D pose, and the trained networks on disk."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from selfpose.camera import DEPTH_OFFSET, REFERENCE_LENGTH_2D, PixelScale, lift
from selfpose.extras.expectation import Expectation
from selfpose.files import write_whole
from selfpose.flow import FlowPrior
from selfpose.networks import Lifter, PoseRegressor, SkeletonEncoder
from selfpose.skeleton import Skeleton

FORMAT = 4
"""Of the weights file."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the three networks say of a batch of pictures.

    ``skeleton_image`` is ``None`` where 2D poses were given instead of pictures. ``pose_2d`` is
    what was lifted: what Ω read, or, of pipelines with an ``expectation``, the pose to be expected
    given that; ``pose_2d_seen`` then holds what Ω read, ``pose_3d`` the shape to be expected,
    turned as Λ has it, and ``pose_3d_lifted`` what Λ made of ``pose_2d``.
    """

    skeleton_image: Tensor | None  # s, (b, K, h, h) in (0, 1)
    pose_2d: Tensor  # y, (b, J, 2) pixels of the picture
    pose_3d: Tensor  # v, (b, J, 3) method units, camera frame, root at depth Δ
    elevation: Tensor  # α, (b) radians
    pose_2d_seen: Tensor | None = None
    pose_3d_lifted: Tensor | None = None


def images_to_input(images: UInt8[Tensor, "b 3 H W"]) -> Float[Tensor, "b 3 H W"]:
    """uint8 pictures → the [−1, 1] floats that Φ takes."""
    return images.float() / 127.5 - 1


def encode(phi: nn.Module, x: Float[Tensor, "b 3 H W"], precision: str = "float32") -> Tensor:
    """s = Φ(x), its convolutions in that precision (``bfloat16`` where the hardware has it)."""
    half = precision == "bfloat16"
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=half):
        return phi(x).float()


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Everything needed to build the networks again, apart from the skeleton."""

    image_size: int = 64
    skeleton_size: int = 32
    channels: int = 1
    gamma: float = 500.0
    width_phi: int = 32
    width_omega: int = 24
    width_lambda: int = 256
    flow_components: int = 26
    flow_blocks: int = 8
    flow_width: int = 256
    delta: float = DEPTH_OFFSET


class PosePipeline(nn.Module):
    """Φ, Ω, Λ and the flow prior over one skeleton, with the pixel scale they were trained at.

    Parameters
    ----------
    skeleton, architecture
        The body; sizes of the networks.
    scale
        Map between pixels of pictures with side ``architecture.image_size`` and the plane.
    with_images
        ``False`` leaves Φ and Ω out: lifting from 2D poses alone.
    """

    def __init__(
        self,
        *,
        skeleton: Skeleton,
        architecture: Architecture,
        scale: PixelScale,
        with_images: bool = True,
    ) -> None:
        super().__init__()
        a, joints = architecture, skeleton.n_joints
        self.skeleton, self.architecture, self.scale = skeleton, a, scale
        self.phi: SkeletonEncoder | None = None
        self.omega: PoseRegressor | None = None
        if with_images:
            sizes: dict[str, int] = {"skeleton_size": a.skeleton_size, "channels": a.channels}
            self.phi = SkeletonEncoder(image_size=a.image_size, width=a.width_phi, **sizes)
            self.omega = PoseRegressor(n_joints=joints, width=a.width_omega, **sizes)
        self.lifter = Lifter(n_joints=joints, root=skeleton.root, width=a.width_lambda)
        self.flow = FlowPrior(
            n_joints=joints,
            n_components=a.flow_components,
            n_blocks=a.flow_blocks,
            width=a.flow_width,
        )
        self.expectation = Expectation(skeleton, a.delta)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def pixels_to_plane(self, pose: Float[Tensor, "*b J 2"]) -> Float[Tensor, "*b J 2"]:
        """Pixels of a picture of ``image_size`` → root-centred joints on the normalised plane."""
        return self.scale.pixels_to_plane(pose, self.skeleton.root)

    def unit_to_plane(self, pose: Float[Tensor, "*b J 2"]) -> Float[Tensor, "*b J 2"]:
        """Ω's [0, 1] image coordinates → root-centred joints on the normalised plane."""
        return self.pixels_to_plane(pose * self.architecture.image_size)

    def plane_to_unit(self, length: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Lengths on the normalised plane → in shares of the picture's side."""
        pixels = length * (self.scale.length_px / REFERENCE_LENGTH_2D)
        return pixels / self.architecture.image_size

    @torch.no_grad()
    def predict_from_poses(
        self, poses: Float[Tensor, "b J 2"], *, batch_size: int = 1024
    ) -> Prediction:
        """Lift 2D poses given in pixels.

        Raises
        ------
        ValueError
            If the joint count is wrong or coordinates are not finite.
        """
        joints = self.skeleton.n_joints
        if poses.ndim != 3 or poses.shape[1:] != (joints, 2) or not poses.isfinite().all():
            raise ValueError(
                f"expected finite 2D poses of shape (N, {joints}, 2) for the skeleton "
                f"{self.skeleton.name!r}, got {tuple(poses.shape)}"
            )
        poses = poses.to(self.device)
        plane = self.pixels_to_plane(poses)
        lifted = [self.lifter(chunk) for chunk in plane.split(batch_size)]
        depth, elevation = (torch.cat(parts) for parts in zip(*lifted, strict=True))
        return Prediction(
            skeleton_image=None,
            pose_2d=poses,
            pose_3d=lift(plane, depth, delta=self.architecture.delta),
            elevation=elevation,
        )

    @torch.no_grad()
    def predict(self, images: UInt8[Tensor, "b 3 H W"], *, batch_size: int = 128) -> Prediction:
        """Pictures → skeleton images, 2D poses (pixels of the picture given), 3D poses.

        Pictures of another size are resized to the size trained at; they must be square crops
        of one person at about the scale of the training pictures.

        Raises
        ------
        ValueError
            If the pipeline has no Φ, or the pictures are not (N, 3, H, H) uint8.
        """
        if self.phi is None or self.omega is None:
            raise ValueError("these weights lift 2D poses only; use predict_from_poses")
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(
                f"expected uint8 pictures (N, 3, H, H), got {images.dtype} {tuple(images.shape)}"
            )
        height, width = images.shape[-2:]
        if height != width:
            raise ValueError(f"expected square pictures, got {width}×{height} px; crop a square")
        size = self.architecture.image_size
        skeleton_images, poses = [], []
        for chunk in images.split(batch_size):
            x = images_to_input(chunk.to(self.device))
            if height != size:
                x = functional.interpolate(
                    x, (size, size), mode="bilinear", antialias=True, align_corners=False
                )
            skeleton_images.append(self.phi(x))
            poses.append(self.omega(skeleton_images[-1]) * size)
        s, seen, to_given = torch.cat(skeleton_images), torch.cat(poses), height / size
        if not len(self.expectation.poses):
            lifted = self.predict_from_poses(seen)
            return Prediction(
                skeleton_image=s,
                pose_2d=seen * to_given,
                pose_3d=lifted.pose_3d,
                elevation=lifted.elevation,
            )
        lifted = self.predict_from_poses(
            torch.cat([self._expected_pose(y) for y in seen.split(batch_size)])
        )
        pairs = zip(seen.split(batch_size), lifted.pose_3d.split(batch_size), strict=True)
        shapes = [self.expectation.shape(self.pixels_to_plane(y), v) for y, v in pairs]
        return Prediction(
            skeleton_image=s,
            pose_2d=lifted.pose_2d * to_given,
            pose_3d=torch.cat(shapes),
            elevation=lifted.elevation,
            pose_2d_seen=seen * to_given,
            pose_3d_lifted=lifted.pose_3d,
        )

    def _expected_pose(self, seen: Float[Tensor, "b J 2"]) -> Float[Tensor, "b J 2"]:
        found = self.expectation.pose(self.pixels_to_plane(seen))
        return self.scale.plane_to_pixels(found, seen[..., self.skeleton.root, :])


@torch.no_grad()
def round_to_half(module: nn.Module) -> None:
    """Move each parameter to the nearest number that half precision holds, so that files halve.

    Networks go on computing in single precision. Buffers stay: a flow's rotations are orthonormal
    to more digits than that.
    """
    for parameter in module.parameters():
        rounded = parameter.half().to(parameter.dtype)
        parameter.copy_(torch.where(rounded.isfinite(), rounded, parameter))


def _smallest(tensor: Tensor) -> Tensor:
    """In half precision, if that holds the same numbers."""
    half = tensor.half()
    same = tensor.dtype == torch.float32 and torch.equal(half.float(), tensor)
    return half if same else tensor


def save(pipeline: PosePipeline, path: str | Path) -> None:
    """Write weights and description to one safetensors file, whole or not at all.

    What half precision holds exactly is stored in it; :func:`load` gives the same numbers back.
    """
    description = {
        "format": FORMAT,
        "skeleton": pipeline.skeleton.to_dict(),
        "architecture": vars(pipeline.architecture),
        "length_px": pipeline.scale.length_px,
        "with_images": pipeline.phi is not None,
    }
    tensors = {
        name.removeprefix("expectation."): _smallest(value.detach().cpu()).contiguous()
        for name, value in pipeline.state_dict().items()
    }
    metadata = {"selfpose": json.dumps(description)}
    write_whole(Path(path), lambda partial: save_file(tensors, partial, metadata=metadata))


def load(path: str | Path, *, device: str | torch.device = "cpu") -> PosePipeline:
    """Read a pipeline back from :func:`save`'s file; runs no code from it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no weights file of this format.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("selfpose")
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from error
    described: dict[str, Any] = json.loads(text or "{}")
    if described.get("format") != FORMAT:
        raise ValueError(f"{path}: not a weights file of selfpose's format {FORMAT}")
    # A field without a value states nothing, even one that other versions of the library had.
    stated = {name: value for name, value in described["skeleton"].items() if value is not None}
    pipeline = PosePipeline(
        skeleton=Skeleton.from_dict(stated),
        architecture=Architecture(**described["architecture"]),
        scale=PixelScale(length_px=described["length_px"]),
        with_images=described["with_images"],
    )
    kept = pipeline.expectation.state_dict()
    pipeline.load_state_dict(
        {f"expectation.{name}" if name in kept else name: t for name, t in tensors.items()}
    )
    return pipeline.to(device).eval()
