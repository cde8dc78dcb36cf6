"""Draws of pictures with their foregrounds, and of unpaired poses, seen the same way."""

from dataclasses import dataclass

import torch

from torch import Tensor
from selfpose.extras.augment import ViewChange, draw_view_change
from selfpose.config import Config
from selfpose.data.dataset import PoseDataset
from selfpose.extras.foreground import static_foreground
from selfpose.model import images_to_input
from selfpose.extras.thickness import solid

RESIDENT_BYTES = 8 * 2**30
"""Pictures up to this many bytes are moved to the device as a whole."""


@dataclass(frozen=True, kw_only=True)
class View:
    """Some pictures as a step sees them."""

    rows: Tensor  # (b) numbers of the pictures
    image: Tensor  # (b, 3, H, H) in [−1, 1]
    foreground: Tensor | None  # (b, 1, H, H) in [0, 1]
    change: ViewChange | None


class Pictures:
    """Draws of pictures with their foregrounds, and of unpaired poses, seen the same way."""

    def __init__(self, dataset: PoseDataset, config: Config, device: torch.device) -> None:
        part = dataset.unlabelled
        self.config, self.device, self.skeleton = config, device, dataset.skeleton
        # What is too large for the device stays in memory, or on disk, and is taken batch by batch.
        keep = device if part.images.nbytes <= RESIDENT_BYTES else part.images.device
        self.images, self.sequence = part.images.to(keep), part.sequence.to(device)
        self.poses = (dataset.unpaired / dataset.image_size).to(device)
        self.foreground: Tensor | None = None
        if config.weight("sil") or config.weight("puppet") or config.swap_background:
            foreground, backgrounds = part.foreground, part.backgrounds
            if foreground is None or backgrounds is None:
                foreground, backgrounds = static_foreground(part.images, part.sequence)
            self.foreground, self.backgrounds = foreground.to(keep), backgrounds.to(keep)

    def take(self, pictures: Tensor, rows: Tensor) -> Tensor:
        """Those rows of the pictures, or of what belongs to them, on the device."""
        return pictures[rows.to(pictures.device)].to(self.device)

    def draw_backgrounds(self, generator: torch.Generator) -> Tensor:
        """Backgrounds (b, 3, H, H) in [−1, 1], without a person."""
        rows = torch.randint(len(self.backgrounds), (self.config.batch,), generator=generator)
        return images_to_input(self.take(self.backgrounds, rows))

    def draw_silhouettes(self, n: int, generator: torch.Generator) -> Tensor:
        """Solid foregrounds (n, H, H), 0 or 1, of pictures as they were taken."""
        assert self.foreground is not None
        rows = torch.randint(len(self.images), (n,), generator=generator)
        return solid(self.take(self.foreground, rows)).float()

    def draw_change(self, n: int, generator: torch.Generator) -> ViewChange:
        """Random changes of view; mirrored only where that gives a body of the same kind."""
        mirror = self.skeleton.has_sides
        return draw_view_change(n, generator=generator, device=self.device, mirror=mirror)

    def draw_images(self, generator: torch.Generator) -> View:
        """Pictures; half of them before another camera's background, where asked."""
        n = self.config.batch
        rows = torch.randint(len(self.images), (n,), generator=generator).to(self.device)
        x = images_to_input(self.take(self.images, rows))
        front = None
        if self.foreground is not None:
            front = self.take(self.foreground, rows)[:, None].float() / 255
        if front is not None and self.config.swap_background:
            swap = torch.rand(n, 1, 1, 1, generator=generator).to(self.device) < 0.5
            scene = self.draw_backgrounds(generator)
            x = torch.where(swap, front * x + (1 - front) * scene, x)
        change = None
        if self.config.augment:
            change = self.draw_change(n, generator)
            x = change.move_images(x)
            front = None if front is None else change.move_images(front)
        return View(rows=rows, image=x, foreground=front, change=change)

    def draw_poses(self, generator: torch.Generator) -> Tensor:
        """Unpaired poses (b, J, 2) in [0, 1] image coordinates."""
        n = self.config.batch
        rows = torch.randint(len(self.poses), (n,), generator=generator).to(self.device)
        pose = self.poses[rows]
        if self.config.augment:
            view = self.draw_change(n, generator)
            pose = view.move_poses(pose, self.skeleton)
        return pose


__all__ = ["RESIDENT_BYTES", "Pictures", "View"]
