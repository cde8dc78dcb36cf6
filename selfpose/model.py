"""Φ → Ω → Λ: from a picture to a 3D pose, and the trained networks on disk."""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from jaxtyping import Float, UInt8
from torch import Tensor
from selfpose.camera import DEPTH_OFFSET, REFERENCE_LENGTH_2D, PixelScale, lift
from selfpose.data.rows import even_rows
from selfpose.files import write_whole
from selfpose.flow import FlowPrior
from selfpose.networks import Lifter, PoseRegressor, SkeletonEncoder
from selfpose.extras.posterior import HARDER, expected_pose, expected_shape, explain
from selfpose.skeleton import Skeleton, mirror_pose

FORMAT = 4
"""Of the weights file: 1 knows no ``noise``, 2 no ``poses`` beside it, 3 no ``depths`` of them."""
KNOWN_POSES = 3072
"""A pipeline keeps at most so many of the unpaired poses: with more, errors were the same."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the three networks say of a batch of pictures.

    ``skeleton_image`` is ``None`` where 2D poses were given instead of pictures. ``pose_2d`` is
    what was lifted: what Ω read, or, of pipelines that keep unpaired ``poses``, the pose to be
    expected given that; ``pose_2d_seen`` then holds what Ω read. ``pose_3d`` is what Λ makes of it,
    or, where ``depths`` of the poses are kept, the shape to be expected, turned as Λ has it; that
    no longer projects onto ``pose_2d``. ``pose_3d_lifted``, what Λ made, does.
    """

    skeleton_image: Tensor | None  # s, (b, K, h, h) in (0, 1)
    pose_2d: Tensor  # y, (b, J, 2) pixels of the picture
    pose_3d: Tensor  # v, (b, J, 3) method units, camera frame, root at depth Δ
    elevation: Tensor  # α, (b) radians
    pose_2d_seen: Tensor | None = None  # what Ω read, (b, J, 2) pixels, where y was refined
    pose_3d_lifted: Tensor | None = None  # Λ of pose_2d, where that is not pose_3d


def images_to_input(images: UInt8[Tensor, "b 3 H W"]) -> Float[Tensor, "b 3 H W"]:
    """uint8 pictures → the [−1, 1] floats that Φ takes."""
    return images.float() / 127.5 - 1


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
    skeleton
        The body.
    architecture
        Sizes of the networks.
    scale
        Map between pixels of pictures with side ``architecture.image_size`` and the plane.
    with_images
        ``False`` leaves Φ and Ω out: lifting from 2D poses alone.

    ``noise`` (J) is how far Ω errs at each joint against the root, a standard deviation on the
    normalised plane (:func:`selfpose.extras.posterior.measure_noise`); zeros where it was not measured.
    ``poses`` (n, J, 2) are unpaired poses kept beside it, root-centred on the plane, in half
    precision; none where there is no noise to weigh them by. ``depths`` (n, J) is what Λ gave them
    when it had learnt from unpaired poses alone; where it learns beside Φ, in the end.
    """

    noise: Tensor
    poses: Tensor
    depths: Tensor

    def __init__(
        self,
        *,
        skeleton: Skeleton,
        architecture: Architecture,
        scale: PixelScale,
        with_images: bool = True,
    ) -> None:
        super().__init__()
        a = architecture
        self.skeleton = skeleton
        self.architecture = a
        self.scale = scale
        self.phi: SkeletonEncoder | None = None
        self.omega: PoseRegressor | None = None
        if with_images:
            self.phi = SkeletonEncoder(
                image_size=a.image_size,
                skeleton_size=a.skeleton_size,
                channels=a.channels,
                width=a.width_phi,
            )
            self.omega = PoseRegressor(
                skeleton_size=a.skeleton_size,
                channels=a.channels,
                n_joints=skeleton.n_joints,
                width=a.width_omega,
            )
        self.lifter = Lifter(n_joints=skeleton.n_joints, root=skeleton.root, width=a.width_lambda)
        self.flow = FlowPrior(
            n_joints=skeleton.n_joints,
            n_components=a.flow_components,
            n_blocks=a.flow_blocks,
            width=a.flow_width,
        )
        self.register_buffer("noise", torch.zeros(skeleton.n_joints))
        self.register_buffer("poses", torch.zeros(0, skeleton.n_joints, 2, dtype=torch.float16))
        self.register_buffer("depths", torch.zeros(0, skeleton.n_joints, dtype=torch.float16))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *how: Any) -> None:
        """As every module, and with as many ``poses`` and ``depths`` as there are."""
        for name in ("poses", "depths"):
            if (kept := state_dict.get(prefix + name)) is not None:
                setattr(self, name, torch.empty_like(kept, device=self.device))
        super()._load_from_state_dict(state_dict, prefix, *how)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def unit_to_plane(self, pose: Float[Tensor, "*b J 2"]) -> Float[Tensor, "*b J 2"]:
        """Ω's [0, 1] image coordinates → root-centred joints on the normalised plane."""
        pixels = pose * self.architecture.image_size
        return self.scale.pixels_to_plane(pixels, self.skeleton.root)

    def plane_to_unit(self, length: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Lengths on the normalised plane → in shares of the picture's side."""
        pixels = length * (self.scale.length_px / REFERENCE_LENGTH_2D)
        return pixels / self.architecture.image_size

    @torch.no_grad()
    def keep_unpaired(
        self, noise: Float[Tensor, " J"], unpaired: Float[Tensor, "n J 2"], lifter: Lifter
    ) -> None:
        """Keep what :meth:`refine` and :meth:`expect_shape` need.

        Parameters
        ----------
        noise
            How far Ω errs at each joint.
        unpaired
            Poses in pixels, of which some are kept.
        lifter
            Λ as it was before it met what Ω reads, if there was a time before.
        """
        rows = torch.from_numpy(even_rows(len(unpaired), most=KNOWN_POSES)).to(unpaired.device)
        plane = self.scale.pixels_to_plane(unpaired[rows], self.skeleton.root).to(self.device)
        self.noise.copy_(noise)
        self.poses = plane.to(torch.float16)
        self.depths = lifter(plane)[0].to(torch.float16)

    def known_poses(self) -> Float[Tensor, "m J 2"]:
        """The ``poses``; of bodies with sides mirrored as well. Root-centred, on the plane."""
        known = self.poses.float()
        if self.skeleton.has_sides:
            known = torch.cat([known, mirror_pose(known, self.skeleton)])
        return known

    def known_shapes(self) -> Float[Tensor, "m J 3"]:
        """:meth:`known_poses` in 3D, method units."""
        delta = self.architecture.delta
        known = lift(self.poses.float(), self.depths.float(), delta=delta)
        if self.skeleton.has_sides:
            known = torch.cat([known, mirror_pose(known, self.skeleton)])
        return known

    def refine(self, poses: Float[Tensor, "b J 2"]) -> Float[Tensor, "b J 2"]:
        """What Ω read → the poses to be expected given that, both in pixels.

        Raises
        ------
        ValueError
            If the ``noise`` was not measured, or no poses are known.
        """
        poses = poses.to(self.device)
        root = self.skeleton.root
        seen = self.scale.pixels_to_plane(poses, root)
        found = expected_pose(seen, HARDER * self.noise, self.known_poses(), width=self.noise)
        return self.scale.plane_to_pixels(found, poses[..., root, :])

    def expect_shape(
        self, seen: Float[Tensor, "b J 2"], lifted: Float[Tensor, "b J 3"]
    ) -> Float[Tensor, "b J 3"]:
        """What Ω read (pixels), and what Λ made of it → the shapes to be expected given the former.

        Of bodies with sides, whose naming Ω may have wrong as a whole, the shapes of either naming
        are asked. Turned, sized and placed as ``lifted`` (method units, camera frame).
        """
        y = self.scale.pixels_to_plane(seen.to(self.device), self.skeleton.root)
        known, shapes = self.known_poses(), self.known_shapes()
        # Puppets are mirrored half the time: the noise of a joint is that of its twin.
        namings = [y, y[:, list(self.skeleton.flip)]] if self.skeleton.has_sides else [y]
        log_weight = torch.cat(
            [explain(n, HARDER * self.noise, known, width=self.noise) for n in namings], dim=-1
        )
        found = expected_shape(log_weight, shapes.repeat(len(namings), 1, 1), lifted)
        root = [self.skeleton.root]
        return found + (lifted[:, root] - found[:, root])

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
        if poses.ndim != 3 or poses.shape[1:] != (joints, 2):
            raise ValueError(
                f"expected 2D poses of shape (N, {joints}, 2) for the skeleton "
                f"{self.skeleton.name!r}, got {tuple(poses.shape)}"
            )
        if not torch.isfinite(poses).all():
            raise ValueError("2D poses hold NaN or infinite coordinates; drop or mend them")
        plane = self.scale.pixels_to_plane(poses.to(self.device), self.skeleton.root)
        depth, elevation = [], []
        for chunk in plane.split(batch_size):
            d, alpha = self.lifter(chunk)
            depth.append(d)
            elevation.append(alpha)
        lifted = lift(plane, torch.cat(depth), delta=self.architecture.delta)
        return Prediction(
            skeleton_image=None,
            pose_2d=poses.to(self.device),
            pose_3d=lifted,
            elevation=torch.cat(elevation),
        )

    @torch.no_grad()
    def predict(self, images: UInt8[Tensor, "b 3 H W"], *, batch_size: int = 128) -> Prediction:
        """Pictures → skeleton images, 2D poses (pixels of the picture given), 3D poses.

        Where unpaired ``poses`` are kept, what Ω read is refined before it is lifted
        (:meth:`refine`), and where their ``depths`` are, the shape to be expected replaces what Λ
        made of it (:meth:`expect_shape`).

        Pictures of another size are resized to the size trained at; they must be square crops
        of one person at about the scale of the training pictures.

        Raises
        ------
        ValueError
            If the pipeline has no Φ, or the pictures are not (N, 3, H, H) uint8.
        """
        if self.phi is None or self.omega is None:
            raise ValueError(
                "these weights lift 2D poses only (input 'poses'); use predict_from_poses, or "
                "weights trained from images"
            )
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(
                f"expected uint8 pictures of shape (N, 3, H, H), got {images.dtype} "
                f"{tuple(images.shape)}"
            )
        height, width = images.shape[-2:]
        if height != width:
            raise ValueError(
                f"expected square pictures, got {width}×{height} px; crop a square about the person"
            )
        size = self.architecture.image_size
        skeleton_images, poses = [], []
        for chunk in images.split(batch_size):
            x = images_to_input(chunk.to(self.device))
            if height != size:
                x = functional.interpolate(
                    x, (size, size), mode="bilinear", antialias=True, align_corners=False
                )
            s = self.phi(x)
            skeleton_images.append(s)
            poses.append(self.omega(s) * size)
        seen = torch.cat(poses)
        refined = len(self.poses) > 0
        given = torch.cat([self.refine(y) for y in seen.split(batch_size)]) if refined else seen
        lifted = self.predict_from_poses(given)
        shaped = len(self.depths) > 0
        pairs = zip(seen.split(batch_size), lifted.pose_3d.split(batch_size), strict=True)
        return Prediction(
            skeleton_image=torch.cat(skeleton_images),
            pose_2d=lifted.pose_2d * (height / size),
            pose_3d=torch.cat([self.expect_shape(*p) for p in pairs]) if shaped else lifted.pose_3d,
            elevation=lifted.elevation,
            pose_2d_seen=seen * (height / size) if refined else None,
            pose_3d_lifted=lifted.pose_3d if shaped else None,
        )

    def describe(self) -> dict[str, Any]:
        """What :func:`load` needs beside the weights, JSON-able."""
        return {
            "format": FORMAT,
            "skeleton": self.skeleton.to_dict(),
            "architecture": vars(self.architecture),
            "length_px": self.scale.length_px,
            "with_images": self.phi is not None,
        }


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
    state = pipeline.state_dict()
    tensors = {k: _smallest(v.detach().cpu()).contiguous() for k, v in state.items()}
    metadata = {"selfpose": json.dumps(pipeline.describe())}
    write_whole(Path(path), lambda partial: save_file(tensors, partial, metadata=metadata))


def load(
    path: str | Path, *, skeleton: Skeleton | None = None, device: str | torch.device = "cpu"
) -> PosePipeline:
    """Read a pipeline back from :func:`save`'s file; runs no code from it.

    Parameters
    ----------
    skeleton
        The body that the caller expects, if it matters.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no selfpose weights file, or is of another skeleton than the caller's.

    Warns
    -----
    UserWarning
        If the file is of format 2, whose poses cannot be refined.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("selfpose")
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from error
    if text is None:
        raise ValueError(f"{path}: a safetensors file, but not one that selfpose wrote")
    described = json.loads(text)
    if described.get("format") not in range(1, FORMAT + 1):
        raise ValueError(
            f"{path}: weights format {described.get('format')}, this selfpose reads 1 to {FORMAT}"
        )
    # A field without a value states nothing, even one that other versions of the library had.
    stated = {name: value for name, value in described["skeleton"].items() if value is not None}
    body = Skeleton.from_dict(stated)
    if skeleton is not None and body.joints != skeleton.joints:
        raise ValueError(
            f"{path}: trained for the skeleton {body.name!r} with {body.n_joints} joints, but "
            f"{skeleton.name!r} with {skeleton.n_joints} joints was asked for"
        )
    pipeline = PosePipeline(
        skeleton=body,
        architecture=Architecture(**described["architecture"]),
        scale=PixelScale(length_px=described["length_px"]),
        with_images=described["with_images"],
    )
    if described["format"] == 2 and tensors["noise"].any():
        warnings.warn(
            f"{path}: weights format 2 holds the noise of Ω but none of the unpaired poses, so "
            "poses are lifted as they were read; the weights of a new training refine them first",
            stacklevel=2,
        )
    # Weights of before these were measured, or kept.
    for name in ("noise", "poses", "depths"):
        tensors.setdefault(name, getattr(pipeline, name))
    pipeline.load_state_dict(tensors)
    return pipeline.to(device).eval()


__all__ = [
    "Architecture",
    "PosePipeline",
    "Prediction",
    "images_to_input",
    "load",
    "round_to_half",
    "save",
]
