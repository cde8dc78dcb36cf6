"""Thickness of limbs: recovered from silhouettes of other poses; what the spectrum ignores."""

import pytest
import torch
from torch import Tensor

from selfpose.extras import thickness
from selfpose.extras.thickness import edge_spectrum, fit_thickness, solid
from selfpose.render import draw_bones
from selfpose.skeleton import Skeleton

FORK = Skeleton(
    name="fork",
    joints=("root", "neck", "left", "right"),
    bones=((0, 1), (1, 2), (1, 3)),
    root=0,
    top=1,
    mirror_pairs=((2, 3),),
)


def forks(n: int) -> Tensor:
    """A long trunk and two arms at random angles, anywhere in the picture."""
    root = 0.5 + 0.1 * torch.rand(n, 2)
    angle = torch.stack(
        [0.3 * torch.randn(n), 1 + 0.5 * torch.rand(n), -1 - 0.5 * torch.rand(n)], 1
    )
    along = torch.stack([angle.sin(), -angle.cos()], dim=-1)
    neck = root + 0.3 * along[:, 0]
    return torch.stack([root, neck, neck + 0.2 * along[:, 1], neck + 0.2 * along[:, 2]], dim=1)


def test_thickness_is_found_from_silhouettes_of_other_poses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("SIZE", 32), ("STEPS", 60), ("RATE", 0.1)):
        monkeypatch.setattr(thickness, name, value)
    true = torch.tensor([300.0, 2000.0, 2000.0])
    shapes = (draw_bones(forks(256), list(FORK.bones), size=64, gamma=true) > 0.5).float()
    generator = torch.Generator().manual_seed(0)
    found = fit_thickness(shapes, forks(256), FORK, start=700.0, generator=generator)
    assert found[1] == found[2]  # mirror twins
    radius, aim = found.rsqrt(), true.rsqrt()
    torch.testing.assert_close(radius, aim, rtol=0.15, atol=0.0)


def test_the_spectrum_ignores_where_a_body_stands() -> None:
    shapes = torch.zeros(3, 24, 24)
    shapes[:, 4:9, 6:8] = 1.0
    moved = shapes.roll((7, 11), dims=(1, 2))
    torch.testing.assert_close(edge_spectrum(moved), edge_spectrum(shapes), rtol=1e-4, atol=1e-3)


def test_solid_drops_specks_and_keeps_shapes() -> None:
    front = torch.zeros(1, 12, 12, dtype=torch.uint8)
    front[0, 2, 9] = 255  # a speck
    front[0, 5:10, 2:7] = 200
    front[0, 7, 4] = 0  # a hole
    front[0, 11] = 100  # never sure
    kept = solid(front)[0]
    assert kept[5:10, 2:7][1:-1, 1:-1].all()
    assert not kept[:4].any()
    assert not kept[11].any()


@pytest.mark.parametrize("share", [0.0, 0.9])
def test_silhouettes_of_no_body_are_refused(share: float) -> None:
    shapes = torch.full((5, 16, 16), share)
    with pytest.raises(ValueError, match=f"cover {share:.0%}.*Do the cameras stand still"):
        fit_thickness(shapes, forks(4), FORK, start=600.0, generator=torch.Generator())
