"""What every protocol evaluates: predictions, truths, and what is known of each frame.

Numbers are named by texts of parts joined by dots: the metric with its unit, the alignment, the
scale, the joints, the frames, the average (``p_mpjpe_mm.proper_rotation.17_joints.all_frames.…``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from jaxtyping import Bool, Float, Int
from torch import Tensor
from selfpose.metrics import root_centred, set_scale
from selfpose.skeleton import Skeleton

Unit = Literal["mm", "free"]
Errors = dict[str, Tensor]

BLOCK = 2**16
"""Frames that are aligned at a time, so that memory does not grow with the test set."""


@dataclass(frozen=True, kw_only=True)
class PoseResults:
    """N predictions with their truths.

    Parameters
    ----------
    skeleton
        The body; every pose has its joints in its order.
    predicted
        (N, J, 3), camera frame (x right, y down, z forward), in ``unit``.
    target
        (N, J, 3) mm, camera frame: the true poses (MPI-INF-3DHP: ``annot3``).
    universal_target
        (N, J, 3) mm: MPI-INF-3DHP's ``univ_annot3``, the same poses on a body of one height.
    unit
        ``"mm"``, or ``"free"``: the predictions have no scale. All of them are then multiplied by
        one factor before a metric that needs millimetres, and the number's name says so.
    subject, action, sequence
        N names, where a protocol needs them (``"S9"``; ``"Directions"``; ``"Directions 1"``).
    number
        (N,) the frame's number in its sequence, from 0, for every 64th.
    valid
        (N,) which frames count by the source's own rules; all where it is ``None``.

    Raises
    ------
    ValueError
        If shapes or lengths disagree, numbers are not finite, no frame is valid, or sizes do not
        look like millimetres.
    """

    skeleton: Skeleton
    predicted: Float[Tensor, "N J 3"]
    target: Float[Tensor, "N J 3"]
    universal_target: Float[Tensor, "N J 3"] | None = None
    unit: Unit = "mm"
    subject: tuple[str, ...] | None = None
    action: tuple[str, ...] | None = None
    sequence: tuple[str, ...] | None = None
    number: Int[Tensor, " N"] | None = None
    valid: Bool[Tensor, " N"] | None = None

    def __post_init__(self) -> None:
        if self.unit not in ("mm", "free"):
            raise ValueError(f"unit: expected 'mm' or 'free' (no scale), got {self.unit!r}")
        n = len(self.predicted)
        shape = (n, self.skeleton.n_joints, 3)
        if n == 0:
            raise ValueError("predicted: holds no pose, so there is nothing to average")
        for name in ("predicted", "target", "universal_target"):
            poses = getattr(self, name)
            if poses is None:
                continue
            if tuple(poses.shape) != shape:
                raise ValueError(
                    f"{name}: expected {shape}, as many poses as 'predicted' with the joints of "
                    f"{self.skeleton.name!r}, got {tuple(poses.shape)}"
                )
            bad = ~torch.isfinite(poses).flatten(1).all(dim=1)
            if bad.any():
                raise ValueError(
                    f"{name}: {int(bad.sum())} of {n} poses hold NaN or infinite values (first at "
                    f"index {int(bad.nonzero()[0, 0])}); drop these frames from every array"
                )
        for name in ("subject", "action", "sequence", "number", "valid"):
            values = getattr(self, name)
            if values is not None and len(values) != n:
                raise ValueError(f"{name}: expected {n} values, one a pose, got {len(values)}")
        if self.number is not None and int(self.number.min()) < 0:
            raise ValueError("number: frames are counted from 0, got a negative number")
        if self.valid is not None:
            if self.valid.dtype != torch.bool:
                raise ValueError(f"valid: expected booleans, got {self.valid.dtype}")
            if not self.valid.any():
                raise ValueError("valid: no frame is valid, so there is nothing to average")
        self._check_sizes()

    def _check_sizes(self) -> None:
        """Millimetres? A person given in metres, or a hand in inches, gives senseless numbers."""
        root = self.skeleton.root
        for name in ("target", "universal_target"):
            poses = getattr(self, name)
            if poses is not None and not 10 <= (size := mean_radius(poses, root)) <= 10_000:
                raise ValueError(
                    f"{name}: joints lie {size:.3g} from the root on average, which is no body in "
                    "millimetres; multiply metres by 1000"
                )
        size, true = mean_radius(self.predicted, root), mean_radius(self.target, root)
        if size == 0:
            raise ValueError("predicted: all joints of all poses lie on their root")
        if self.unit == "mm" and not 0.1 <= size / true <= 10:
            raise ValueError(
                f"predicted: joints lie {size:.3g} from the root on average and the true ones "
                f"{true:.3g} mm; multiply metres by 1000, or say unit='free' if there is no scale"
            )

    @classmethod
    def from_arrays(cls, **fields: Any) -> "PoseResults":
        """From numpy arrays and lists of any float and integer type, by the names of the fields."""
        for name in ("predicted", "target", "universal_target"):
            if fields.get(name) is not None:
                fields[name] = torch.as_tensor(np.asarray(fields[name], dtype=np.float64))
        for name in ("subject", "action", "sequence"):
            if fields.get(name) is not None:
                fields[name] = tuple(str(value) for value in fields[name])
        if fields.get("number") is not None:
            fields["number"] = torch.as_tensor(np.asarray(fields["number"], dtype=np.int64))
        if fields.get("valid") is not None:
            fields["valid"] = torch.as_tensor(np.asarray(fields["valid"]) != 0)
        return cls(**fields)

    def __len__(self) -> int:
        return len(self.predicted)

    @property
    def counted(self) -> Bool[Tensor, " N"]:
        """Which frames count: the valid ones, or all."""
        if self.valid is None:
            return torch.ones(len(self), dtype=torch.bool)
        return self.valid.cpu()

    @property
    def own_scale(self) -> str:
        """How a metric that forgives no scale got its millimetres, for its name."""
        return "given_scale" if self.unit == "mm" else "one_scale_for_all"

    def in_mm(self, target: Float[Tensor, "N J 3"]) -> Float[Tensor, "N J 3"]:
        """The predictions in mm: as they are, or by one factor for all (:attr:`own_scale`).

        The factor is the least-squares one of the frames that count.
        """
        predicted, true = self.predicted.double().cpu(), target.double().cpu()
        if self.unit == "mm":
            return predicted
        kept = self.counted
        return predicted * set_scale(predicted[kept], true[kept], root=self.skeleton.root)


def mean_radius(poses: Float[Tensor, "N J 3"], root: int) -> float:
    """Mean distance of the joints from the root, in the poses' unit: how large a body is."""
    return float(root_centred(poses.double(), root).norm(dim=-1).mean())


def by_blocks(
    errors: Callable[[Tensor, Tensor], Errors],
    predicted: Float[Tensor, "N J 3"],
    target: Float[Tensor, "N J 3"],
) -> Errors:
    """``errors`` of all poses, a block of frames at a time, in double precision on the CPU."""
    parts = [
        errors(p.double().cpu(), g.double().cpu())
        for p, g in zip(predicted.split(BLOCK), target.split(BLOCK), strict=True)
    ]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def group_means(
    values: Float[Tensor, " N"], groups: Sequence[str], chosen: Bool[Tensor, " N"] | None = None
) -> dict[str, float]:
    """The mean of each group (an action, a sequence) over its chosen frames, if it has any.

    >>> group_means(torch.tensor([1.0, 3.0, 10.0]), ("sit", "sit", "walk"))
    {'sit': 2.0, 'walk': 10.0}
    """
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    kept = np.ones(len(values), dtype=bool) if chosen is None else chosen.numpy()
    count = np.bincount(index[kept], minlength=len(names))
    total = np.bincount(index[kept], weights=values.numpy()[kept], minlength=len(names))
    return {
        str(name): float(s / c) for name, s, c in zip(names, total, count, strict=True) if c > 0
    }


def averages(
    errors: Mapping[str, Tensor],
    *,
    chosen: Mapping[str, Bool[Tensor, " N"]],
    groups: Mapping[str, Sequence[str] | None],
) -> dict[str, float]:
    """Every error over every choice of frames and every average, as ``error.frames.average``.

    Parameters
    ----------
    errors
        Name → one value a frame.
    chosen
        Name → the frames that are averaged.
    groups
        Name of the average → the group of each frame, whose means are then averaged, all groups
        alike; ``None`` stands for the plain mean over frames.

    Raises
    ------
    ValueError
        If a choice holds no frame.
    """
    table = {}
    for frames, mask in chosen.items():
        if not mask.any():
            raise ValueError(
                f"{frames}: no frame of the results is among them; check their 'number' (from 0), "
                "'valid' and 'sequence'"
            )
        for name, values in errors.items():
            for average, group in groups.items():
                if group is None:
                    number = float(values[mask].mean())
                else:
                    number = float(np.mean(list(group_means(values, group, mask).values())))
                table[f"{name}.{frames}.{average}"] = number
    return table


def with_parts(numbers: Mapping[str, float], *parts: str) -> dict[str, float]:
    """The numbers whose names hold all of these parts.

    >>> with_parts({"mpjpe_mm.all_frames": 50.0, "mpjpe_mm.every_64th": 52.0}, "every_64th")
    {'mpjpe_mm.every_64th': 52.0}
    """
    return {key: v for key, v in numbers.items() if set(parts) <= set(key.split("."))}


METRICS = {
    "mpjpe_mm": "MPJPE, mm",
    "n_mpjpe_mm": "N-MPJPE, mm",
    "p_mpjpe_mm": "P-MPJPE, mm",
    "pck150_percent": "PCK@150, %",
    "n_pck150_percent": "N-PCK@150, %",
    "p_pck150_percent": "P-PCK@150, %",
    "auc0to50_percent": "AUC 0–50, %",
    "auc20to50_percent": "AUC 20–50, %",
    "auc0to150_percent": "AUC 0–150, %",
    "n_auc0to150_percent": "N-AUC 0–150, %",
    "p_auc0to150_percent": "P-AUC 0–150, %",
}
"""How a table prints the first part of a name."""


def parts_to_text(name: str, *, without: Sequence[str] = ()) -> str:
    """The parts of a number's name after its metric, ``without`` those that all its rows share.

    >>> parts_to_text("p_mpjpe_mm.proper_rotation.17_joints", without=["17_joints"])
    'proper rotation'
    """
    parts = [part for part in name.split(".")[1:] if part not in without]
    return ", ".join(part.replace("_", " ") for part in parts)


def name_to_text(name: str, *, without: Sequence[str] = ()) -> str:
    """A number's name as a table prints it, ``without`` the parts that all its rows share.

    >>> name_to_text("p_mpjpe_mm.proper_rotation.17_joints")
    'P-MPJPE, mm: proper rotation, 17 joints'
    """
    metric = name.split(".")[0]
    text, parts = METRICS.get(metric, metric), parts_to_text(name, without=without)
    return f"{text}: {parts}" if parts else text


__all__ = [
    "BLOCK",
    "METRICS",
    "Errors",
    "PoseResults",
    "Unit",
    "averages",
    "by_blocks",
    "group_means",
    "mean_radius",
    "name_to_text",
    "parts_to_text",
    "with_parts",
]
