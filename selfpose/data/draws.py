"""Draws of pictures with their foregrounds, and of unpaired poses, augmented the same way."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from selfpose.config import Config
from selfpose.data.dataset import PoseDataset
from selfpose.extras.augment import ViewChange, draw_view_change
from selfpose.extras.foreground import static_foreground
from selfpose.model import PosePipeline, images_to_input
from selfpose.skeleton import mirror_pose

RESIDENT_BYTES = 8 * 2**30
"""Pictures up to this many bytes are moved to the device as a whole."""


class PoseDraws:
    """Draws of unpaired poses on the plane, mirrored half the time where the run augments."""

    def __init__(self, pipeline: PosePipeline, dataset: PoseDataset, config: Config) -> None:
        self.skeleton = dataset.skeleton
        self.mirror = config.pictures.augment and dataset.skeleton.has_sides
        self.plane = pipeline.pixels_to_plane(dataset.unpaired.to(pipeline.device))

    def all(self) -> Float[Tensor, "n J 2"]:
        """Every pose, and mirrored where draws are."""
        mirrored = [mirror_pose(self.plane, self.skeleton)] if self.mirror else []
        return torch.cat([self.plane, *mirrored])

    def draw(self, n: int, *, noise: float, generator: torch.Generator) -> Float[Tensor, "n J 2"]:
        """n poses with Gaussian noise of that deviation (plane units), root-centred."""
        rows = torch.randint(len(self.plane), (n,), generator=generator)
        pose = self.plane[rows.to(self.plane.device)]
        if self.mirror:
            coin = (torch.rand(n, generator=generator) < 0.5).to(pose.device)
            pose = torch.where(coin[:, None, None], mirror_pose(pose, self.skeleton), pose)
        if noise:
            pose = pose + noise * torch.randn(pose.shape, generator=generator).to(pose)
            pose = pose - pose[:, self.skeleton.root : self.skeleton.root + 1]
        return pose


@dataclass(frozen=True, kw_only=True)
class View:
    """Some pictures as a step sees them."""

    rows: Tensor  # (b) numbers of the pictures
    image: Tensor  # (b, 3, H, H) in [−1, 1]
    foreground: Tensor | None  # (b, 1, H, H) in [0, 1]
    change: ViewChange | None


class PictureDraws:
    """Draws of pictures with their foregrounds, and of unpaired poses, augmented the same way."""

    def __init__(self, dataset: PoseDataset, config: Config, device: torch.device) -> None:
        part = dataset.unlabelled
        self.batch, self.augment = config.pictures.batch, config.pictures.augment
        self.swap_background = config.extras.swap_background
        self.device, self.skeleton = device, dataset.skeleton
        # What is too large for the device stays in memory, or on disk, and is taken batch by batch.
        keep = device if part.images.nbytes <= RESIDENT_BYTES else part.images.device
        self.images, self.sequence = part.images.to(keep), part.sequence.to(device)
        self.poses = (dataset.unpaired / dataset.image_size).to(device)
        self.foreground: Tensor | None = None
        if config.terms["sil"] or config.terms["puppet"] or self.swap_background:
            foreground, backgrounds = part.foreground, part.backgrounds
            if foreground is None or backgrounds is None:
                foreground, backgrounds = static_foreground(part.images, part.sequence)
            self.foreground, self.backgrounds = foreground.to(keep), backgrounds.to(keep)

    def take(self, pictures: Tensor, rows: Tensor) -> Tensor:
        """Those rows of the pictures, or of what belongs to them, on the device."""
        return pictures[rows.to(pictures.device)].to(self.device)

    def draw_backgrounds(self, generator: torch.Generator) -> Float[Tensor, "b 3 H H"]:
        """Backgrounds without a person, in [−1, 1]."""
        rows = torch.randint(len(self.backgrounds), (self.batch,), generator=generator)
        return images_to_input(self.take(self.backgrounds, rows))

    def draw_change(self, generator: torch.Generator) -> ViewChange:
        """Random changes of view; mirrored only where that gives a body of the same kind."""
        mirror = self.skeleton.has_sides
        return draw_view_change(self.batch, generator=generator, device=self.device, mirror=mirror)

    def draw_images(self, generator: torch.Generator) -> View:
        """Pictures; half of them before another camera's background, where asked."""
        n = self.batch
        rows = torch.randint(len(self.images), (n,), generator=generator).to(self.device)
        x, front = images_to_input(self.take(self.images, rows)), None
        if self.foreground is not None:
            front = self.take(self.foreground, rows)[:, None].float() / 255
        if front is not None and self.swap_background:
            swap = torch.rand(n, 1, 1, 1, generator=generator).to(self.device) < 0.5
            scene = self.draw_backgrounds(generator)
            x = torch.where(swap, front * x + (1 - front) * scene, x)
        change = None
        if self.augment:
            change = self.draw_change(generator)
            x = change.move_images(x)
            front = None if front is None else change.move_images(front)
        return View(rows=rows, image=x, foreground=front, change=change)

    def draw_poses(self, generator: torch.Generator) -> Float[Tensor, "b J 2"]:
        """Unpaired poses in [0, 1] image coordinates."""
        rows = torch.randint(len(self.poses), (self.batch,), generator=generator).to(self.device)
        pose = self.poses[rows]
        if self.augment:
            pose = self.draw_change(generator).move_poses(pose, self.skeleton)
        return pose
