"""Every choice of a run as one frozen, validated dataclass; presets, variants and ablations."""

import contextlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from selfpose.files import refuse_unknown
from selfpose.model import Architecture

PAPER_TERMS: tuple[str, ...] = ("D", "Omega", "2D", "3D", "def", "NF", "bl")
"""The seven losses, in the paper's order."""
EXTRA_TERMS: tuple[str, ...] = ("sil", "side", "puppet", "distil")
"""Ours: ``sil``, the silhouette against the foreground of a static camera; ``side``, the prior on
left and right that is learnt from the unpaired poses; ``puppet``, pictures that we paint ourselves:
the person of a picture, re-posed as an unpaired pose; ``distil``, Λ taught to lift what Ω sees in
puppets as it lifts their true poses."""
TERMS = PAPER_TERMS + EXTRA_TERMS
BASE_TERMS: tuple[str, ...] = ("2D", "3D", "def")
"""Our reading of the paper's L_base: the geometric core."""
LIFTING_TERMS: tuple[str, ...] = ("2D", "3D", "def", "NF", "bl")
"""The terms that train Λ; without pictures there are no others."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """All parameters of one run. Lengths are in method units unless a name says otherwise.

    Build one with :meth:`for_run`, which lays preset, variant and overrides over these defaults.

    Parameters
    ----------
    input
        ``images`` trains Φ, Ω and Λ from pictures; ``poses`` trains Λ from true 2D poses.
    preset, variant
        Names of the settings that the values came from.
    seed
        Seeds the networks, the order of the data and every draw.
    n_unlabelled, n_unpaired, n_test
        Sizes of the three parts of the data.
    difficulty
        Background of generated pictures: none, plain, structured or cluttered.
    camera_elevation
        Mean elevation of the cameras that film generated pictures (degrees, −15 to 40; positive
        looks down).
    data_seed
        Seeds generated data; runs of different ``seed`` share them.
    image_size, skeleton_size, channels, gamma
        Side of pictures and of skeleton images (px); channels of a skeleton image (1 as in the
        paper, 3 for left, right, centre); γ, in [0, 1] image coordinates.
    width_phi, width_omega, width_lambda, width_d
        Widths of the networks.
    delta
        Δ.
    flow_*
        The prior: PCA dimensions, blocks, width; steps, batch and rate of its own training; noise
        added to the plane coordinates of its training poses, without which it overfits.
    lift_*
        Λ's training: steps, batch, rate; ``lift_noise`` is the standard deviation of noise on its
        2D input (plane units).
    bone_sigma, bone_start, bone_ramp
        σ_n of L_bl; the fractions of Λ's steps at which L_bl begins and reaches full weight. On
        from the start it freezes depth signs at random.
    omega_steps
        Steps of Ω alone, on drawings of unpaired poses, before the pictures.
    steps, batch, lr_phi, lr_omega, lr_d, lr_thickness, beta1
        The training on pictures; ``beta1`` is Adam's, for Φ, Ω and D; ``lr_thickness`` counts where
        ``limb_thickness`` is learned.
    picture_every
        Puppets are seen at every step; pictures, and with them D, the redrawing, ``sil`` and
        ``side``, at every so many.
    r1
        Weight of D's gradient penalty.
    lam
        The paper's λ, on ‖κ(Ω(s)) − s‖².
    weight_*
        Weight of each term in the total.
    drop
        Terms left out: the ablations. Names as in :data:`TERMS`.
    unpaired_from
        Takes the unpaired poses from another data set, to measure a domain gap; empty: the same.
    elevation, elevation_mean, elevation_sd
        ``fixed`` draws the camera's elevation from a normal distribution (degrees) instead of
        learning it.
    precision
        Of Φ's convolutions: ``bfloat16`` is faster where the processor or GPU has it.
    lift_from
        ``unpaired``: Λ learns from the unpaired 2D poses, apart from Φ and Ω. ``predicted``: from
        Ω(Φ(x)), all together, as in the paper.
    augment
        Random shifts, turns and scales of pictures and unpaired poses alike, and mirroring.
    swap_background
        Put the people of static cameras before other cameras' backgrounds.
    puppet_forgiving
        The fraction of ``steps`` during which a puppet's left and right may be exchanged. Below 1,
        Φ and Ω first learn where joints are, then which way a body faces, for cameras that show it.
    limb_thickness
        How thick puppets and the body that ``sil`` compares with the foreground are. ``fitted``:
        to the spectrum of silhouettes, before any pose is seen. ``learned``: with Φ.
    silhouette_gamma
        γ of every limb that fitting or learning their thickness begins with.
    side_steps, side_noise, side_start
        Training steps of the prior on sides; the largest noise on its poses (plane units); the
        fraction of ``steps`` at which its term begins.
    side_clips
        Decide the sides of all pictures of a clip together, not one by one.
    ema
        Decay of the averaged Φ and Ω that are evaluated and saved.
    refine
        Measure on puppets how far Ω errs at each joint, lift the pose to be expected given what it
        read and the unpaired poses, and answer with the 3D shape to be expected. Without puppets
        nothing is measured, and nothing changed.
        Comparisons of trainings leave it out, so that rows without puppets compare.
    supervised
        Train the supervised ceiling too, for the table of baselines.
    supervised_steps
        Steps of the supervised Φ and Ω; its Λ trains for ``lift_steps``.
    checkpoint_every_s
        Seconds between checkpoints.
    """

    input: Literal["images", "poses"] = "images"
    preset: str = "quick"
    variant: str = "selfpose"
    seed: int = 0

    n_unlabelled: int = 6144
    n_unpaired: int = 8192
    n_test: int = 1024
    difficulty: str = "structured"
    camera_elevation: float = 10.0
    data_seed: int = 0

    image_size: int = 64
    skeleton_size: int = 32
    channels: int = 3
    gamma: float = 500.0
    width_phi: int = 16
    width_omega: int = 16
    width_lambda: int = 256
    width_d: int = 32
    delta: float = 10.0

    flow_components: int = 26
    flow_blocks: int = 8
    flow_width: int = 256
    flow_steps: int = 1000
    flow_batch: int = 256
    flow_lr: float = 1e-3
    flow_noise: float = 0.004

    lift_steps: int = 1500
    lift_batch: int = 256
    lift_lr: float = 1e-3
    lift_noise: float = 0.0
    bone_sigma: float = 0.1
    bone_start: float = 0.3
    bone_ramp: float = 0.6

    omega_steps: int = 400
    steps: int = 800
    batch: int = 32
    lr_phi: float = 2e-3
    lr_omega: float = 2e-3
    lr_d: float = 5e-4
    lr_thickness: float = 5e-3
    beta1: float = 0.9
    picture_every: int = 2
    r1: float = 0.05
    lam: float = 0.1
    weight_D: float = 0.1
    weight_Omega: float = 10.0
    weight_2D: float = 1.0
    weight_3D: float = 1.0
    weight_def: float = 1.0
    weight_NF: float = 1.0
    weight_bl: float = 1.0
    weight_sil: float = 3.0
    weight_side: float = 2.0
    weight_puppet: float = 10.0
    weight_distil: float = 1.0
    drop: tuple[str, ...] = ()
    unpaired_from: str = ""
    elevation: Literal["learned", "fixed"] = "learned"
    elevation_mean: float = 10.0
    elevation_sd: float = 10.0
    precision: Literal["float32", "bfloat16"] = "float32"

    lift_from: Literal["unpaired", "predicted"] = "unpaired"
    augment: bool = True
    swap_background: bool = True
    puppet_forgiving: float = 1.0
    limb_thickness: Literal["fitted", "learned"] = "fitted"
    silhouette_gamma: float = 600.0
    side_steps: int = 1000
    side_noise: float = 0.012
    side_start: float = 0.6
    side_clips: bool = True
    ema: float = 0.995
    refine: bool = True

    supervised: bool = True
    supervised_steps: int = 500
    checkpoint_every_s: float = 60.0

    def __post_init__(self) -> None:
        if self.input not in ("images", "poses"):
            raise ValueError(f"input must be 'images' or 'poses', not {self.input!r}")
        if self.lift_from not in ("unpaired", "predicted"):
            raise ValueError(f"lift_from must be 'unpaired' or 'predicted', not {self.lift_from!r}")
        if self.elevation not in ("learned", "fixed"):
            raise ValueError(f"elevation must be 'learned' or 'fixed', not {self.elevation!r}")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be 'float32' or 'bfloat16', not {self.precision!r}")
        refuse_unknown(self.drop, TERMS, "term to drop")
        for f in fields(self):
            value = getattr(self, f.name)
            if f.type is bool and not isinstance(value, bool):
                raise ValueError(f"{f.name} must be true or false, got {value!r}")
            if f.type is int and (isinstance(value, bool) or not isinstance(value, int)):
                raise ValueError(f"{f.name} must be a whole number, got {value!r}")
            if f.type is float and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise ValueError(f"{f.name} must be a number, got {value!r}")
            if f.type is str and not isinstance(value, str):
                raise ValueError(f"{f.name} must be a text, got {value!r}")
            if f.type in (int, float) and not math.isfinite(value):
                raise ValueError(f"{f.name} must be finite, got {value}")
            signed = ("seed", "elevation_mean", "camera_elevation")
            if f.type in (int, float) and f.name not in signed and value < 0:
                raise ValueError(f"{f.name} must not be negative, got {value}")
            sizes = ("n_", "width_", "image_size", "skeleton_size", "flow_width", "gamma", "delta")
            if f.name.startswith(sizes) and not value:
                raise ValueError(f"{f.name} must be positive, got {value}")
        if self.puppet_forgiving > 1:
            raise ValueError(
                f"puppet_forgiving is a share of the steps, 0 to 1, got {self.puppet_forgiving}"
            )
        if self.channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3 (left, right, centre), not {self.channels}")
        if self.ema >= 1:
            raise ValueError(f"ema must lie below 1, or Φ and Ω never change; got {self.ema}")
        if self.input == "images" and self.weight("distil"):
            if not self.weight("puppet"):
                raise ValueError(
                    "the term 'distil' learns from puppets; keep the term 'puppet' or drop both"
                )
            if self.lift_from == "predicted":
                raise ValueError(
                    "the term 'distil' needs a Λ that was trained before the pictures; with "
                    "lift_from 'predicted' there is none: drop it"
                )
        if self.input == "images" and self.weight("side") and self.channels != 3:
            raise ValueError(
                "the term 'side' exchanges the left and right channels of skeleton images and "
                f"needs channels=3, not {self.channels}; or drop it"
            )
        puppets = self.input == "poses" or self.weight("puppet")
        if not self.picture_every or (self.picture_every > 1 and not puppets):
            raise ValueError(
                "picture_every must be 1 where the term 'puppet' is left out (else steps would be "
                f"empty), and never 0; got {self.picture_every}"
            )
        for name in ("batch", "lift_batch", "flow_batch"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name} must be 2 or more: losses compare pairs of the batch")

    @classmethod
    def for_run(
        cls,
        *,
        preset: str = "quick",
        variant: str = "selfpose",
        overrides: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> "Config":
        """Defaults, then the preset, then the variant, then the overrides.

        Raises
        ------
        ValueError
            For unknown presets, variants or parameters (with the nearest right name), and for
            values of the wrong kind.

        >>> Config.for_run(preset="smoke", variant="paper", seed=3).channels
        1
        """
        refuse_unknown([preset], PRESETS, "preset")
        refuse_unknown([variant], VARIANTS, "variant")
        values = {**PRESETS[preset], **VARIANTS[variant], **(overrides or {}), **more}
        return cls.from_dict({**values, "preset": preset, "variant": variant})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Config":
        """Build from plain values, as a YAML file or a record holds them; refuses unknown names."""
        refuse_unknown(values, [f.name for f in fields(cls)], "parameter")
        plain = dict(values)
        if "drop" in plain:
            if not isinstance(plain["drop"], list | tuple):
                raise ValueError(f"drop must be a list of terms, got {plain['drop']!r}")
            plain["drop"] = tuple(plain["drop"])
        for f in fields(cls):
            # YAML reads 1e-3 as a text: its numbers need a dot before the exponent.
            value = plain.get(f.name)
            if f.type is float and isinstance(value, str | int) and not isinstance(value, bool):
                with contextlib.suppress(ValueError):
                    plain[f.name] = float(value)
        return cls(**plain)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, JSON-able; :meth:`from_dict` reads them back."""
        return asdict(self) | {"drop": list(self.drop)}

    def weight(self, term: str) -> float:
        """Weight of a term in the total; zero where the run leaves it out."""
        refuse_unknown([term], TERMS, "term")
        return 0.0 if term in self.drop else float(getattr(self, f"weight_{term}"))

    def with_(self, **changes: Any) -> "Config":
        """A copy with some values changed, validated again."""
        return replace(self, **changes)

    @property
    def architecture(self) -> Architecture:
        """Sizes of the networks."""
        names = [f.name for f in fields(Architecture)]
        return Architecture(**{name: getattr(self, name) for name in names})


PRESETS: dict[str, dict[str, Any]] = {
    # Seconds: shows that every part runs, nothing more.
    "smoke": {
        "n_unlabelled": 256,
        "n_unpaired": 512,
        "n_test": 64,
        "width_phi": 8,
        "width_omega": 8,
        "width_d": 8,
        "width_lambda": 64,
        "flow_blocks": 4,
        "flow_width": 64,
        "flow_steps": 60,
        "side_steps": 60,
        "lift_steps": 80,
        "omega_steps": 10,
        "steps": 20,
        "supervised_steps": 10,
        "batch": 16,
    },
    # Minutes on two cores.
    "quick": {},
    # An hour on a laptop, minutes on a GPU.
    "standard": {
        "n_unlabelled": 16384,
        "n_unpaired": 16384,
        "n_test": 2048,
        "flow_steps": 3000,
        "lift_steps": 4000,
        "side_steps": 2000,
        "omega_steps": 2000,
        "steps": 9000,
        "supervised_steps": 3000,
    },
    # One GPU, 128 px.
    "paper-scale": {
        "n_unlabelled": 65536,
        "n_unpaired": 65536,
        "n_test": 8192,
        "image_size": 128,
        "skeleton_size": 64,
        "width_phi": 48,
        "width_omega": 32,
        "width_d": 64,
        "width_lambda": 1024,
        "flow_width": 512,
        "flow_steps": 10000,
        "lift_steps": 10000,
        "omega_steps": 5000,
        "steps": 60000,
        "supervised_steps": 10000,
        "batch": 64,
    },
}

VARIANTS: dict[str, dict[str, Any]] = {
    # The seven terms together and nothing else.
    "paper": {
        "channels": 1,
        "drop": EXTRA_TERMS,
        "lift_from": "predicted",
        "augment": False,
        "swap_background": False,
        "omega_steps": 0,
        "lr_phi": 5e-4,
        "lr_omega": 1e-3,
        "beta1": 0.5,
        "weight_D": 1.0,
        "picture_every": 1,
        "refine": False,
        "limb_thickness": "learned",
    },
    # The seven terms with self-supervised help: see the book's page on choices.
    "selfpose": {},
    # The same for loose pictures, which show no static camera's background: no silhouettes and no
    # puppets, and D strong in their place.
    "loose": {
        "drop": ("sil", "puppet", "distil"),
        "picture_every": 1,
        "swap_background": False,
        "side_clips": False,
        "weight_D": 1.0,
        "refine": False,
        "limb_thickness": "learned",
    },
}

__all__ = [
    "BASE_TERMS",
    "EXTRA_TERMS",
    "LIFTING_TERMS",
    "PAPER_TERMS",
    "PRESETS",
    "TERMS",
    "VARIANTS",
    "Config",
]
