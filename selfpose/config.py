"""Every choice of a run as nested, frozen dataclasses; the presets and the variants.

A choice has a dotted name, on the command line, in a notebook and in ``experiments/*.yaml`` alike:
``pictures.steps``, ``networks.gamma``, ``terms.bl``.
"""

import contextlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from selfpose.files import refuse_unknown

PAPER_TERMS = ("D", "Omega", "2D", "3D", "def", "NF", "bl")
"""The seven losses, in the paper's order."""
EXTRA_TERMS = ("sil", "side", "puppet", "distil")
"""Ours: ``sil``, the silhouette against the foreground of a static camera; ``side``, the prior on
left and right that is learnt from the unpaired poses; ``puppet``, the person of a picture painted
in an unpaired pose; ``distil``, Λ taught to lift what Ω reads in puppets as it lifts true poses."""
TERMS = PAPER_TERMS + EXTRA_TERMS
BASE_TERMS = ("2D", "3D", "def")
"""Our reading of the paper's L_base: the geometric core."""
LIFTING_TERMS = ("2D", "3D", "def", "NF", "bl")
"""The terms that train Λ; without pictures there are no others."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """How much data there is, and how generated pictures look."""

    n_unlabelled: int = 6144
    n_unpaired: int = 8192
    n_test: int = 1024
    difficulty: Literal["none", "plain", "structured", "cluttered"] = "structured"  # background
    camera_elevation: float = 10.0  # mean, degrees; positive looks down
    seed: int = 0  # of generated data; runs of different seeds share them
    unpaired_from: str = ""  # another data set to take the unpaired poses from


@dataclass(frozen=True, kw_only=True)
class Networks:
    """Sizes of Φ, Ω, Λ and D, and of what passes between them."""

    image_size: int = 64  # px
    skeleton_size: int = 32  # px
    channels: int = 3  # of a skeleton image: 1 as in the paper, or left, right, centre
    gamma: float = 500.0  # γ of κ, in [0, 1] image coordinates
    width_phi: int = 16
    width_omega: int = 16
    width_lambda: int = 256
    width_d: int = 32
    delta: float = 10.0  # Δ, the depth of the root


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The flow prior and its training."""

    components: int = 26  # PCA dimensions
    blocks: int = 8
    width: int = 256
    steps: int = 1000
    batch: int = 256
    lr: float = 1e-3
    noise: float = 0.004  # added to its poses (plane units), without which it overfits


@dataclass(frozen=True, kw_only=True)
class Lifting:
    """The training of Λ by the rotation cycle."""

    source: Literal["unpaired", "predicted"] = "unpaired"  # 2D poses; predicted as in the paper
    steps: int = 1500
    batch: int = 256
    lr: float = 1e-3
    noise: float = 0.0  # on the 2D input (plane units)
    bone_sigma: float = 0.1  # σ_n of L_bl
    # Shares of the steps at which L_bl begins and is at full weight. On from the start it freezes
    # depth signs at random.
    bone_start: float = 0.3
    bone_ramp: float = 0.6
    elevation: Literal["learned", "fixed"] = "learned"  # fixed: drawn from a normal distribution
    elevation_mean: float = 10.0  # degrees
    elevation_sd: float = 10.0


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The training of Φ, Ω and D on pictures."""

    omega_steps: int = 400  # of Ω alone, on drawings of unpaired poses, before the pictures
    steps: int = 800
    batch: int = 32
    lr_phi: float = 2e-3
    lr_omega: float = 2e-3
    lr_d: float = 5e-4
    beta1: float = 0.9  # Adam's, for Φ, Ω and D
    r1: float = 0.05  # weight of D's gradient penalty
    lam: float = 0.1  # the paper's λ, on ‖κ(Ω(s)) − s‖²
    ema: float = 0.995  # decay of the averaged Φ and Ω, which are evaluated and saved
    precision: Literal["float32", "bfloat16"] = "float32"  # of Φ's convolutions
    augment: bool = True  # shifts, turns, scales and mirrors pictures and unpaired poses


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What the variant ``selfpose`` adds to the paper's training on pictures."""

    picture_every: int = 2  # puppets are seen at every step, pictures at every so many
    swap_background: bool = True  # people before the backgrounds of other static cameras
    # The share of the steps during which a puppet's left and right may be exchanged.
    puppet_forgiving: float = 1.0
    thickness: Literal["fitted", "learned"] = "fitted"  # of limbs, to silhouettes or with Φ
    thickness_gamma: float = 600.0  # γ of every limb at the start
    thickness_lr: float = 5e-3
    side_steps: int = 1000  # of the prior on left and right
    side_noise: float = 0.012  # the largest on its poses (plane units)
    side_start: float = 0.6  # the share of the steps at which its term begins
    side_clips: bool = True  # one decision for each clip, not for each picture
    refine: bool = True  # answer with the pose and shape to be expected given what Ω read


WEIGHTS = {
    "D": 0.1, "Omega": 10.0, "2D": 1.0, "3D": 1.0, "def": 1.0, "NF": 1.0, "bl": 1.0,
    "sil": 3.0, "side": 2.0, "puppet": 10.0, "distil": 1.0,
}  # fmt: skip
"""Weight of each term in the total by default."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """All parameters of one run; build one with :meth:`for_run`.

    Parameters
    ----------
    input
        ``images`` trains Φ, Ω and Λ from pictures; ``poses`` trains Λ from true 2D poses.
    preset, variant
        Names of the settings that the values came from.
    seed
        Seeds the networks, the order of the data and every draw.
    supervised_steps
        Steps of the supervised Φ and Ω of the table of baselines; 0 trains none.
    terms
        Weight of each loss in the total; 0 leaves it out.

    Raises
    ------
    ValueError
        For a value of the wrong kind or outside its range.
    """

    input: Literal["images", "poses"] = "images"
    preset: str = "quick"
    variant: str = "selfpose"
    seed: int = 0
    supervised_steps: int = 500
    data: Data = field(default_factory=Data)
    networks: Networks = field(default_factory=Networks)
    flow: Flow = field(default_factory=Flow)
    lifting: Lifting = field(default_factory=Lifting)
    pictures: Pictures = field(default_factory=Pictures)
    extras: Extras = field(default_factory=Extras)
    terms: dict[str, float] = field(default_factory=lambda: dict(WEIGHTS))

    def __post_init__(self) -> None:
        for name, value in self.flat().items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} must be finite, got {value}")
            signed = name in ("seed", "data.seed") or "elevation" in name
            if isinstance(value, int | float) and value < 0 and not signed:
                raise ValueError(f"{name} must not be negative, got {value}")
            least = 2 if name.endswith(".batch") else 1  # losses compare pairs of the batch
            sized = name.startswith(("data.n_", "networks.")) or name.endswith("batch")
            if sized and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if self.networks.channels not in (1, 3):
            raise ValueError(f"networks.channels must be 1 or 3, not {self.networks.channels}")
        if self.pictures.ema >= 1:
            raise ValueError(f"pictures.ema must lie below 1, got {self.pictures.ema}")
        if self.input == "images":
            self._check_extras()

    def _check_extras(self) -> None:
        t = self.terms
        if t["distil"] and (not t["puppet"] or self.lifting.source == "predicted"):
            raise ValueError(
                "the term 'distil' needs the term 'puppet', and a Λ trained before the pictures "
                "(lifting.source=unpaired); or set terms.distil=0"
            )
        if t["side"] and self.networks.channels != 3:
            raise ValueError("the term 'side' needs networks.channels=3; or set terms.side=0")
        every = self.extras.picture_every
        if not every or (every > 1 and not t["puppet"]):
            raise ValueError(
                "extras.picture_every must be 1 without the term 'puppet' (else steps would be "
                f"empty), and never 0; got {every}"
            )

    @classmethod
    def for_run(
        cls,
        *,
        preset: str = "quick",
        variant: str = "selfpose",
        overrides: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> "Config":
        """Defaults, then the preset, then the variant, then overrides by dotted name.

        Raises
        ------
        ValueError
            For unknown names (with the nearest right one) and values of the wrong kind.

        >>> Config.for_run(preset="smoke", variant="paper", seed=3).networks.channels
        1
        >>> Config.for_run(overrides={"terms.bl": 0}).terms["bl"]
        0.0
        """
        refuse_unknown([preset], PRESETS, "preset")
        refuse_unknown([variant], VARIANTS, "variant")
        values = {**PRESETS[preset], **VARIANTS[variant], **(overrides or {}), **more}
        return cls().with_({**values, "preset": preset, "variant": variant})

    def with_(self, changes: Mapping[str, Any]) -> "Config":
        """A copy with some values changed, by dotted name."""
        flat = self.flat()
        refuse_unknown(changes, flat, "parameter")
        return Config.from_dict(unflatten({**flat, **changes}))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Config":
        """Build from what :meth:`to_dict` gave, as a record or a checkpoint holds it."""
        config: Config = _build(cls, values, "")
        return config

    def to_dict(self) -> dict[str, Any]:
        """Plain values, nested, JSON-able."""
        return asdict(self)

    def flat(self) -> dict[str, Any]:
        """Plain values by dotted name."""
        return flatten(self.to_dict())


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, their keys joined by dots.

    >>> flatten({"seed": 0, "flow": {"steps": 9}})
    {'seed': 0, 'flow.steps': 9}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        inner = isinstance(value, Mapping)
        flat |= flatten(value, f"{prefix}{name}.") if inner else {f"{prefix}{name}": value}
    return flat


def unflatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of :func:`flatten`."""
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *groups, last = name.split(".")
        inside = nested
        for group in groups:
            inside = inside.setdefault(group, {})
        inside[last] = value
    return nested


def _build(kind: type, values: Mapping[str, Any], prefix: str) -> Any:
    hints = get_type_hints(kind)
    refuse_unknown(values, [f.name for f in fields(kind)], f"parameter {prefix}".strip())
    built = {}
    for name, value in values.items():
        hint = hints[name]
        if isinstance(hint, type) and is_dataclass(hint):
            built[name] = _build(hint, value, f"{prefix}{name}.")
        elif get_origin(hint) is dict:
            refuse_unknown(value, TERMS, "term")
            weights = {t: _typed(w, float, f"{name}.{t}") for t, w in value.items()}
            built[name] = {**WEIGHTS, **weights}
        else:
            built[name] = _typed(value, hint, prefix + name)
    return kind(**built)


def _typed(value: Any, kind: Any, name: str) -> Any:
    """The value as that kind; whole numbers and texts like ``1e-3`` (YAML's) may be floats."""
    if get_origin(kind) is Literal:
        refuse_unknown([value], get_args(kind), f"value of {name}:")
        return value
    if kind is float and isinstance(value, str | int) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):
            return float(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise ValueError(f"{name} must be of the kind {kind.__name__}, got {value!r}")
    return value


PRESETS: dict[str, dict[str, Any]] = {
    # Seconds: shows that every part runs, nothing more.
    "smoke": {
        "data.n_unlabelled": 256, "data.n_unpaired": 512, "data.n_test": 64,
        "networks.width_phi": 8, "networks.width_omega": 8, "networks.width_d": 8,
        "networks.width_lambda": 64,
        "flow.blocks": 4, "flow.width": 64, "flow.steps": 60,
        "lifting.steps": 80, "extras.side_steps": 60,
        "pictures.omega_steps": 10, "pictures.steps": 20, "pictures.batch": 16,
        "supervised_steps": 10,
    },
    # Minutes on two cores.
    "quick": {},
    # An hour on a laptop, minutes on a GPU.
    "standard": {
        "data.n_unlabelled": 16384, "data.n_unpaired": 16384, "data.n_test": 2048,
        "flow.steps": 3000, "lifting.steps": 4000, "extras.side_steps": 2000,
        "pictures.omega_steps": 2000, "pictures.steps": 9000,
        "supervised_steps": 3000,
    },
    # One GPU, 128 px.
    "paper-scale": {
        "data.n_unlabelled": 65536, "data.n_unpaired": 65536, "data.n_test": 8192,
        "networks.image_size": 128, "networks.skeleton_size": 64,
        "networks.width_phi": 48, "networks.width_omega": 32, "networks.width_d": 64,
        "networks.width_lambda": 1024,
        "flow.width": 512, "flow.steps": 10000, "lifting.steps": 10000,
        "pictures.omega_steps": 5000, "pictures.steps": 60000, "pictures.batch": 64,
        "supervised_steps": 10000,
    },
}  # fmt: skip

VARIANTS: dict[str, dict[str, Any]] = {
    # The seven terms together and nothing else.
    "paper": {
        **{f"terms.{term}": 0.0 for term in EXTRA_TERMS}, "terms.D": 1.0,
        "networks.channels": 1, "lifting.source": "predicted",
        "pictures.omega_steps": 0, "pictures.lr_phi": 5e-4, "pictures.lr_omega": 1e-3,
        "pictures.beta1": 0.5, "pictures.augment": False,
        "extras.picture_every": 1, "extras.swap_background": False,
        "extras.thickness": "learned", "extras.refine": False,
    },
    # The seven terms with self-supervised help: see the book's page on choices.
    "selfpose": {},
    # The same for single pictures, which show no static camera's background: no silhouettes and no
    # puppets, and D strong in their place.
    "loose": {
        "terms.sil": 0.0, "terms.puppet": 0.0, "terms.distil": 0.0, "terms.D": 1.0,
        "extras.picture_every": 1, "extras.swap_background": False, "extras.side_clips": False,
        "extras.thickness": "learned", "extras.refine": False,
    },
}  # fmt: skip
