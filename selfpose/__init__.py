"""selfpose: a reproducible companion to Sosa & Hogg, "Self-supervised 3D Human Pose Estimation from
a Single Image" (2023).

The package reads like the paper, one part to a module, and imports run downwards only:

1. geometry: :mod:`~selfpose.skeleton`, :mod:`~selfpose.camera`, :mod:`~selfpose.metrics`
2. parts: :mod:`~selfpose.render` (κ), :mod:`~selfpose.networks` (Φ, Ω, Λ, D),
   :mod:`~selfpose.flow` (the prior)
3. method: :mod:`~selfpose.cycle`, :mod:`~selfpose.losses`, :mod:`~selfpose.model`
4. running: :mod:`~selfpose.config`, :mod:`~selfpose.training`, :mod:`~experiments.records`
5. people: :mod:`~book.kit.plots`, :mod:`~book.kit.widgets`, :mod:`~selfpose.cli`

and, beside them, :mod:`selfpose.data`, one reader for each source.
"""

__version__ = "0.1.0"
