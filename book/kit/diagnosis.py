"""Runs that go wrong beside runs that do not: which ones to compare, where they lie, what they say.

A failure is looked for in this build's runs first, then in the committed records; failing and
healthy run always come from the same place, so that data and preset agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from book.kit.figures import monitor_figure
from experiments.notebooks import repository_root
from book.kit.quotes import record_link
from experiments.records import RECORD, Record, read_history, read_record
from experiments.workflow import FOLDER, campaign_command, read_experiment


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A known way to go wrong, and what shows it.

    Parameters
    ----------
    title
        Names the failing run in figures.
    stage
        Whose history to look at: ``lifting`` or ``images``.
    cells
        Pairs of (failing, healthy) cells, each ``experiment/variant``, the best pair first.
    columns
        Column of the history → title of its panel.
    levels
        Column → level to hold it against, as in :func:`book.kit.figures.monitor_figure`.
    older
        Column → the one to show in its place where a history was written before it was logged.
    beside
        Names the run that it is compared with; it differs in nothing but the cause of the failure.
    """

    title: str
    stage: str
    cells: tuple[tuple[str, str], ...]
    columns: Mapping[str, str]
    levels: Mapping[str, str | float] | None = None
    older: Mapping[str, str] | None = None
    beside: str = "healthy"

    def __post_init__(self) -> None:
        if not self.cells or not self.columns:
            raise ValueError(f"the failure {self.title!r} needs cells to compare and columns")


FAILURES: dict[str, Failure] = {
    "early_bone": Failure(
        title="bone lengths from the start",
        stage="lifting",
        cells=(
            ("diagnosis_lifting/early_bone", "diagnosis_lifting/healthy"),
            ("ablation_lifting/early_bl", "ablation_lifting/full"),
        ),
        columns={
            "wrong_depth_signs_percent": "wrong depth signs, %",
            "flipped_poses_percent": "poses better flipped, %",
            "elevation_mean_deg": "elevation, mean, degrees",
            "p_mpjpe_mm": "P-MPJPE, mm",
            "flipped_p_mpjpe_mm": "P-MPJPE if flipped, mm",
            "elevation_sd_deg": "elevation, s.d., degrees",
        },
        levels={"wrong_depth_signs_percent": 50.0, "flipped_poses_percent": 50.0},
    ),
    "strong_flow": Failure(
        title="prior too strong",
        stage="lifting",
        cells=(("diagnosis_lifting/strong_flow", "diagnosis_lifting/healthy"),),
        columns={
            "log_p_turned": "log p of turned poses",
            "bl": "bone-length term",
            "elevation_mean_deg": "elevation, mean, degrees",
            "spread_turned": "spread of turned poses",
            "wrong_depth_signs_percent": "wrong depth signs, %",
            "p_mpjpe_mm": "P-MPJPE, mm",
        },
        levels={"log_p_turned": "log_p_unpaired", "spread_turned": 1.0},
    ),
    "paper": Failure(
        title="the seven terms alone",
        stage="images",
        cells=(
            ("diagnosis_images/paper", "diagnosis_images/healthy"),
            ("ablation_images/paper", "ablation_images/full"),
            ("end_to_end/paper", "end_to_end/selfpose"),
        ),
        columns={
            "alignment_own": "difference, own picture",
            "alignment_shuffled": "difference, another's",
            "spread_to_unpaired": "spread of 2D poses",
            "error_2d_percent_side_tolerant": "2D error, sides forgiven, %",
        },
        levels={"spread_to_unpaired": 1.0},
        older={"spread_to_unpaired": "spread"},
    ),
    "one_channel": Failure(
        title="one channel",
        stage="images",
        cells=(
            ("diagnosis_images/one_channel", "diagnosis_images/healthy"),
            ("ablation_images/one_channel", "ablation_images/full"),
        ),
        columns={
            "swapped_limbs_percent": "limbs better exchanged, %",
            "mixed_sides_percent": "poses of mixed sides, %",
            "facing_right_percent": "facing right, %",
            "error_2d_percent": "2D error, %",
            "error_2d_percent_side_tolerant": "2D error, sides forgiven, %",
        },
        levels={
            "swapped_limbs_percent": 50.0,
            "mixed_sides_percent": 50.0,
            "facing_right_percent": 50.0,
        },
    ),
    "strong_critic": Failure(
        title="critic too strong",
        stage="images",
        cells=(("diagnosis_images/strong_critic", "diagnosis_images/plain"),),
        columns={
            "margin": "margin of D, real − drawn",
            "critic": "loss of D",
            "D": "loss of Φ against D",
            "error_2d_percent_side_tolerant": "2D error, sides forgiven, %",
        },
        # A critic that cannot tell the two apart has the loss 2 log 2.
        levels={"critic": 1.386, "margin": 0.0},
        beside="usual critic",
    ),
    "joint_lifting": Failure(
        title="all together",
        stage="images",
        cells=(("diagnosis_images/joint_lifting", "diagnosis_images/plain"),),
        columns={
            "log_p_predicted": "log p of 2D poses",
            "spread_to_unpaired": "spread of 2D poses",
            "elevation_mean_deg": "elevation, mean, degrees",
            "p_mpjpe_mm": "P-MPJPE, mm",
            "wrong_depth_signs_percent": "wrong depth signs, %",
            "elevation_sd_deg": "elevation, s.d., degrees",
        },
        levels={"log_p_predicted": "log_p_unpaired", "spread_to_unpaired": 1.0},
        beside="Λ from people's poses",
    ),
}
"""The known failures under the names of the variants in ``experiments/diagnosis_*.yaml``."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Histories of a failing and a healthy run of one place.

    Parameters
    ----------
    failing, healthy
        Histories of one stage, indexed by step.
    where
        Names the place for readers.
    records
        Of the failing run and of the healthy one.
    """

    failing: pd.DataFrame
    healthy: pd.DataFrame
    where: str
    records: tuple[Record, Record]


def places(
    runs: str | Path, *, data: str, results: str | Path | None = None
) -> list[tuple[str, Path]]:
    """Folders that hold runs, with their names: this build's, then committed ones, own data first.

    Parameters
    ----------
    runs
        The folder of this build's runs; it need not exist.
    data
        Name of the data set whose committed records come before others'.
    results
        Folder of committed records; by default ``results/`` of the repository.
    """
    committed = Path(results) if results is not None else repository_root() / "results"
    found = [("this build", Path(runs))]
    if committed.is_dir():
        folders = [p for p in committed.iterdir() if p.is_dir()]
        folders.sort(key=lambda p: (p.name.rpartition("-")[0] != data, p.name))
        found += [(f"{committed.name}/{p.name}", p) for p in folders]
    return found


def finished_seed(folder: Path, cell: str) -> Path | None:
    """The folder of the first finished seed of ``experiment/variant``, if there is one."""
    seeds = sorted((folder / cell).glob(f"seed*/{RECORD}"))
    return seeds[0].parent if seeds else None


def find_comparison(failure: Failure, where: Sequence[tuple[str, Path]]) -> Comparison | None:
    """The first place that holds both runs of one of the failure's pairs; ``None``: nowhere.

    Pairs come before places: a committed run made to show the failure is better evidence than a
    run of this build that shows it by the way.
    """
    for failing, healthy in failure.cells:
        for name, folder in where:
            bad_run, good_run = finished_seed(folder, failing), finished_seed(folder, healthy)
            if bad_run is None or good_run is None:
                continue
            bad, good = (read_history(run).get(failure.stage) for run in (bad_run, good_run))
            if bad is not None and good is not None:
                for new, old in (failure.older or {}).items():
                    # the same quantity for both, or the panel would compare two
                    if new not in bad or new not in good:
                        bad, good = (
                            h.drop(columns=new, errors="ignore").rename(columns={old: new})
                            for h in (bad, good)
                        )
                return Comparison(
                    failing=bad,
                    healthy=good,
                    where=name,
                    records=(read_record(bad_run), read_record(good_run)),
                )
    return None


def failure_figure(failure: Failure, found: Comparison | None) -> Figure:
    """The failure's monitors, healthy and failing; empty panels where no run was found."""
    histories = {}
    if found is not None:
        histories = {failure.beside: found.healthy, failure.title: found.failing}
    return monitor_figure(histories, failure.columns, levels=failure.levels)


def failure_sentence(failure: Failure, found: Comparison | None, *, data: str, preset: str) -> str:
    """The last logged numbers of both runs in words, with links to their records (Markdown).

    Where no run was found, the command that makes the runs.
    """
    if found is None:
        wanted: dict[str, list[str]] = {}
        for cell in reversed(failure.cells[0]):
            experiment, _, variant = cell.partition("/")
            wanted.setdefault(experiment, []).append(variant)
        commands = " and ".join(
            f"`{campaign_command(item, preset=preset, data=data, variants=variants)}`"
            for name, variants in wanted.items()
            for item in [read_experiment(FOLDER / f"{name}.yaml")]
        )
        return (
            "*Missing: no such runs in this build or among the committed ones.* "
            f"To make them: {commands}."
        )
    said = []
    for column, title in failure.columns.items():
        pair = [h[column].dropna() for h in (found.failing, found.healthy) if column in h]
        if len(pair) == 2 and all(len(values) for values in pair):
            said.append(f"{title} {pair[0].iloc[-1]:.3g} against {pair[1].iloc[-1]:.3g}")
    if not said:
        return f"These runs were made before the monitors existed ({_runs_text(found)})."
    return (
        f"At the last step, {failure.title} against {failure.beside}: {'; '.join(said)} (from the "
        f"histories of {_runs_text(found)}; one seed each)."
    )


def _runs_text(found: Comparison) -> str:
    failing, healthy = (record_link(record) for record in found.records)
    data = f"{found.records[0]['dataset']} data, preset `{found.records[0].get('preset')}`"
    return f"{failing} beside {healthy}, {found.where}, {data}"


__all__ = [
    "FAILURES",
    "Comparison",
    "Failure",
    "failure_figure",
    "failure_sentence",
    "find_comparison",
    "finished_seed",
    "places",
]
