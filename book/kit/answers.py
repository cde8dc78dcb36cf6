"""From records to the answer of an experiment's question: a table, a figure, a sentence.

Every number in table and sentence is a quote that leads to the records it was made of.
"""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from IPython.display import HTML
from matplotlib.figure import Figure

from book.kit.caveats import below_no_floor, shortened
from selfpose.config import PRESETS, VARIANTS, Config
from book.kit.pages import linked_groups
from book.kit.plots import in_house_style, new_figure
from book.kit.quotes import field_value, quoted, record_link
from experiments.records import Record
from experiments.workflow import Experiment, campaign_command


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A metric of records as pages name it.

    Parameters
    ----------
    column, title, unit
        Its name in records; its name in tables and sentences; what follows a number.
    higher_is_better
        Whether a larger number is the better one.
    digits
        After the point.
    """

    column: str
    title: str
    unit: str
    higher_is_better: bool = False
    digits: int = 1

    @property
    def label(self) -> str:
        """Title and unit, for columns and axes."""
        return f"{self.title}, {self.unit}"

    @property
    def field(self) -> str:
        """Its dotted path in records."""
        return f"metrics.{self.column}"

    @property
    def unit_of_change(self) -> str:
        """What follows a difference of two.

        >>> MEASURES["images"][1].unit, MEASURES["images"][1].unit_of_change
        ('%', 'points')
        """
        return "points" if self.unit == "%" else self.unit


_P_MPJPE = Measure(column="p_mpjpe_mm", title="P-MPJPE", unit="mm")
MEASURES: dict[str, tuple[Measure, ...]] = {
    "poses": (_P_MPJPE,),
    "images": (
        Measure(
            column="error_2d_percent_side_tolerant",
            title="2D error, sides forgiven",
            unit="%",
            digits=2,
        ),
        Measure(
            column="facing_right_percent", title="facing right", unit="%", higher_is_better=True
        ),
        _P_MPJPE,
    ),
}
"""What is shown of runs from true 2D poses and of runs from pictures; the first is the headline."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The records that stand behind an answer, all of one data set, preset and set of parameters.

    ``committed`` says that they are not of this build; without records there is no answer yet.
    ``left_out`` counts those whose parameters differ by more than what their variants change.
    """

    experiment: Experiment
    records: tuple[Record, ...]
    data: str
    preset: str
    committed: bool = False
    left_out: int = 0

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What is shown of these runs."""
        return MEASURES[self.experiment.base["input"]]

    @property
    def variants(self) -> list[str]:
        """Every variant of the experiment; where they are a sweep, by the number they set."""
        names = list(self.experiment.variants)
        return sorted(names, key=self.position) if self.experiment.over else names

    def position(self, variant: str) -> float:
        """The number that a variant of a sweep sets."""
        over = self.experiment.over
        for record in self.records:
            if record["variant"] == variant:
                return float(record["parameters"][over])
        values = {**PRESETS[self.preset], **self.experiment.variants[variant]}
        return float(values.get(over, getattr(Config(), over)))

    def of(self, variant: str) -> list[Record]:
        """The records of a variant, by seed."""
        found = [r for r in self.records if r["variant"] == variant]
        return sorted(found, key=lambda record: record["seed"])

    def values(self, variant: str, measure: Measure) -> list[float]:
        """One number a run of that variant, by seed."""
        found = [field_value(record, measure.field) for record in self.of(variant)]
        return [value for value in found if value is not None]

    @property
    def present(self) -> list[str]:
        """Variants that have runs."""
        having = {record["variant"] for record in self.records}
        return [name for name in self.variants if name in having]

    @property
    def source(self) -> str:
        """Where the records are from, in words."""
        where = "committed records" if self.committed else "this build"
        return f"{where}, {self.data} data, preset `{self.preset}`"

    @property
    def command(self) -> str:
        """The command that makes the runs; of the missing variants, where the preset has fewer."""
        listed = self.experiment.presets.get(self.preset, {}).get("variants", self.variants)
        absent = [name for name in self.variants if name not in self.present]
        return campaign_command(
            self.experiment,
            preset=self.preset,
            data=self.data,
            variants=() if set(absent) <= set(listed) else absent,
        )


def records_for(
    experiment: Experiment,
    runs: Sequence[Record],
    committed: Sequence[Record],
    *,
    data: str,
    preset: str,
) -> Evidence:
    """The runs of this build that answer a question or, where they are too few, committed ones.

    Parameters
    ----------
    experiment
        The question.
    runs, committed
        Records of this build, and those under ``results/``.
    data, preset
        Of this build. Two variants of it are enough to compare; else the committed records of the
        same data go before those of others, then the set with more variants, then the longer
        preset.
    """
    here = _of(experiment, runs, data=data, preset=preset)
    groups = {(str(r["dataset"]), str(r.get("preset"))) for r in committed}
    there = [
        found
        for group_data, group_preset in sorted(groups)
        if (
            found := _of(experiment, committed, data=group_data, preset=group_preset, there=True)
        ).records
    ]
    if len(here.present) > 1 or not there:
        return here
    length = list(PRESETS)

    def worth(found: Evidence) -> tuple[bool, int, int]:
        rank = length.index(found.preset) if found.preset in length else -1
        return found.data == data, len(found.present), rank

    best = max(there, key=worth)
    return here if here.records and len(best.present) < 2 else best


def _of(
    experiment: Experiment,
    records: Sequence[Record],
    *,
    data: str,
    preset: str,
    there: bool = False,
) -> Evidence:
    found = [
        r
        for r in records
        if r["experiment"] == experiment.name
        and r["variant"] in experiment.variants
        and (r["dataset"], r.get("preset")) == (data, preset)
    ]
    kept = _comparable(experiment, found)
    return Evidence(
        experiment=experiment,
        records=tuple(kept),
        data=data,
        preset=preset,
        committed=there,
        left_out=len(found) - len(kept),
    )


def _set_by(experiment: Experiment, variant: str) -> set[str]:
    """Parameters that a variant changes, with those of the method that it is named after."""
    return {*experiment.variants[variant], *VARIANTS.get(variant, {})}


def _comparable(experiment: Experiment, records: Sequence[Record]) -> list[Record]:
    """The records whose parameters differ in nothing but the seed and what their variants set.

    Several versions of a run can lie side by side, for instance under ``results/``. Of them the
    ones stay that agree with one run of the first variant: with the run that keeps most variants,
    then most records, then the newest; and of each variant those of one version, most seeds first.
    """
    as_now = [
        r
        for r in records
        if all(
            r["parameters"].get(name) == value
            for name, value in experiment.variants[r["variant"]].items()
        )
    ]

    def agree(a: Record, b: Record) -> bool:
        free = {"seed", "variant", "label", *_set_by(experiment, a["variant"])}
        free |= _set_by(experiment, b["variant"])
        ours, theirs = a["parameters"], b["parameters"]
        same = all(ours.get(k) == theirs.get(k) for k in {*ours, *theirs} - free)
        return same and a.get("data_files") == b.get("data_files")

    reference = next(iter(experiment.variants))
    anchors = [r for r in as_now if r["variant"] == reference] or as_now
    groups = [([r for r in as_now if agree(anchor, r)], anchor) for anchor in anchors]

    def worth(group: tuple[list[Record], Record]) -> tuple[int, int, str]:
        members, anchor = group
        return len({r["variant"] for r in members}), len(members), str(anchor.get("started", ""))

    versions: dict[str, dict[str, list[Record]]] = {}
    for record in max(groups, key=worth)[0] if groups else []:
        all_but_seed = {k: v for k, v in record["parameters"].items() if k != "seed"}
        version = json.dumps(all_but_seed, sort_keys=True)
        versions.setdefault(record["variant"], {}).setdefault(version, []).append(record)
    return [
        record
        for of_variant in versions.values()
        for record in max(
            of_variant.values(), key=lambda v: (len(v), max(str(r.get("started", "")) for r in v))
        )
    ]


LEVEL = 0.05
"""Of the test behind "beyond the spread of seeds", for all comparisons of an answer together."""
FEWEST_SEEDS = 3
"""Fewer runs of a variant say nothing about their spread."""


def welch_p_value(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p-value of Welch's t-test of equal means; each side needs two numbers or more.

    With v degrees of freedom and tan θ = t / √v, Student's tail is the share of ∫ cosᵛ⁻¹ that lies
    between θ and π/2, here by the trapezoidal rule. Source: Welch, 1947.

    >>> round(welch_p_value([1.0, 2.0, 3.0], [3.0, 4.0, 5.0]), 3)
    0.07
    """
    shares = [statistics.variance(x) / len(x) for x in (a, b)]
    apart = abs(statistics.mean(a) - statistics.mean(b))
    if not sum(shares):
        return 0.0 if apart else 1.0
    freedom = sum(shares) ** 2 / sum(
        share**2 / (len(x) - 1) for share, x in zip(shares, (a, b), strict=True)
    )
    low = math.atan(apart / math.sqrt(sum(shares) * freedom))
    angles = np.linspace(low, math.pi / 2, 20001)
    # at π/2 rounding must not make the cosine negative
    heights = np.cos(angles).clip(min=0.0) ** (freedom - 1)
    tail = (angles[1] - angles[0]) * (heights.sum() - (heights[0] + heights[-1]) / 2)
    log_gammas = math.lgamma(freedom / 2) - math.lgamma((freedom + 1) / 2)
    return min(1.0, float(tail) / (0.5 * math.sqrt(math.pi) * math.exp(log_gammas)))


def is_clear(a: Sequence[float], b: Sequence[float], *, comparisons: int = 1) -> bool | None:
    """Whether two means differ by Welch's t-test, at :data:`LEVEL` over that many comparisons.

    Who looks at many variants finds a large difference somewhere: Bonferroni's correction asks
    each for a p-value smaller by their number. ``None`` where a mean stands on fewer than
    :data:`FEWEST_SEEDS` runs. The runs share their data, so that the spread is that of training
    again, not that of other data.

    >>> is_clear([1.0, 1.1, 0.9], [2.0, 2.1, 1.9]), is_clear([1.0, 3.0, 2.0], [2.0, 4.0, 3.0])
    (True, False)
    """
    if comparisons < 1:
        raise ValueError(f"comparisons must be 1 or more, got {comparisons}")
    if min(len(a), len(b)) < FEWEST_SEEDS:
        return None
    return welch_p_value(a, b) < LEVEL / comparisons


def answer_table(
    evidence: Evidence,
    *,
    columns: Mapping[str, str] | None = None,
    digits: int | Mapping[str, int] | None = None,
) -> HTML:
    """What each variant changes, its numbers as mean ± spread (n), and links to its records.

    In brackets stands the number of runs, of different seeds. A variant without runs keeps its row.

    Parameters
    ----------
    evidence
        The records.
    columns
        Title → dotted path in the records; by default the experiment's measures.
    digits
        After the point, for all columns or by title; by default those of the measures.
    """
    measures = {m.label: m for m in evidence.measures}
    own = {title: measure.digits for title, measure in measures.items()}
    return linked_groups(
        {name: evidence.of(name) for name in evidence.variants},
        columns or {title: measure.field for title, measure in measures.items()},
        first=evidence.experiment.name,
        digits=own if digits is None else digits,
        notes={name: {"changes": changes_of(evidence, name)} for name in evidence.variants},
    )


def changes_of(evidence: Evidence, variant: str) -> str:
    """What a variant changes; in a sweep, with its number also where the preset sets it."""
    overrides, over = evidence.experiment.variants[variant], evidence.experiment.over
    if over and over not in overrides:
        own = f"{over} = {evidence.position(variant):g}, as in the preset"
        return ", ".join([own, *([describe(overrides, variant)] if overrides else [])])
    return describe(overrides, variant)


def describe(overrides: dict[str, Any], variant: str = "") -> str:
    """What a variant of an experiment changes, in a few words.

    A variant that is named after a variant of the method is that one, with the overrides on top.

    >>> describe({"channels": 1, "drop": ["side"]}), describe({}, "full"), describe({}, "paper")
    ('channels = 1, without side', 'nothing', 'the variant paper')
    """
    words = [f"the variant {variant}"] if variant in VARIANTS and variant != "selfpose" else []
    words += [
        f"without {' and '.join(value)}" if name == "drop" else f"{name} = {value}"
        for name, value in overrides.items()
    ]
    return ", ".join(words) or "nothing"


def answer_sentence(evidence: Evidence) -> str:
    """The answer that the records give, as Markdown, with the number of seeds behind it.

    A number of one run is a link to its record, and a difference stands behind a link to its run;
    those of several runs name their records, which :func:`answer_table` lists. Without records the
    sentence says so, with the command that makes them.
    """
    left_out = ""
    if n := evidence.left_out:
        left_out = f"{n} more record{'s' if n > 1 else ''} of other parameters left out."
    if len(evidence.present) < 2:
        have = f"only `{evidence.present[0]}` of" if evidence.present else "none of"
        return (
            f"**Missing**: {have} the {len(evidence.variants)} variants has records. "
            f"`{evidence.command}` makes them. {left_out}"
        ).strip()
    say = _answer_of_sweep if evidence.experiment.over else _answer_of_variants
    parts = [say(evidence, evidence.measures[0])]
    parts += [_extremes(evidence, measure) for measure in evidence.measures[1:]]
    counts = [len(evidence.values(name, evidence.measures[0])) for name in evidence.present]
    if max(counts) == 1:
        seeds = "one seed behind each number"
    elif min(counts) == max(counts):
        seeds = f"{counts[0]} seeds behind each number"
    else:
        seeds = f"{min(counts)} to {max(counts)} seeds behind each number"
    if max(counts) > 1:
        seeds += ", those of a row on the same data"
    if min(counts) < FEWEST_SEEDS:
        fewer = "" if max(counts) < FEWEST_SEEDS else f"where there are fewer than {FEWEST_SEEDS}, "
        seeds += f": {fewer}an anecdote, no finding"
    reference = evidence.of(evidence.present[0])
    cut = shortened(reference[0])
    parts.append(f"({'; '.join(part for part in (evidence.source, cut, seeds) if part)}.)")
    for measure in evidence.measures:
        told = _floor_not_beaten(evidence, measure)
        if told and not measure.higher_is_better:
            parts.append(f"{told} Read nothing into differences of that column.")
    if absent := [f"`{name}`" for name in evidence.variants if name not in evidence.present]:
        parts.append(f"Missing: {', '.join(absent)}; `{evidence.command}` makes them.")
    return " ".join(part for part in [*parts, left_out] if part)


def _floor_not_beaten(evidence: Evidence, measure: Measure) -> str:
    """The warning of :func:`below_no_floor`, about the first variant or the best of a sweep."""
    name, who = evidence.present[0], f"`{evidence.present[0]}`"
    if evidence.experiment.over and (means := _means(evidence, measure)):
        name, who = _best_and_worst(means, measure)[0], "even the best of them"
    return below_no_floor(evidence.of(name), measure.column, measure.title, measure.unit, who=who)


def _means(evidence: Evidence, measure: Measure) -> dict[str, float]:
    values = {name: evidence.values(name, measure) for name in evidence.present}
    return {name: statistics.fmean(found) for name, found in values.items() if found}


def _number(evidence: Evidence, measure: Measure, name: str) -> str:
    quote = quoted(evidence.of(name), measure.field, digits=measure.digits, form="plain")
    return f"{quote.html(links=False)} {measure.unit}"


def _named(evidence: Evidence, name: str) -> str:
    """A variant; a link where it is one run."""
    found = evidence.of(name)
    return record_link(found[0], name) if len(found) == 1 else f"`{name}`"


def _clearness(evidence: Evidence, measure: Measure, a: str, b: str, comparisons: int) -> str:
    values = [evidence.values(name, measure) for name in (a, b)]
    clear = is_clear(*values, comparisons=comparisons)
    if clear is None:
        return ""
    return f", {'beyond' if clear else 'within'} the spread of seeds"


def _answer_of_variants(evidence: Evidence, measure: Measure) -> str:
    """The first variant against the ones that change it most, for the worse and for the better."""
    means = _means(evidence, measure)
    reference = evidence.present[0]
    start = f"{measure.title} is {_number(evidence, measure, reference)} with `{reference}`"
    changes = {n: v - means[reference] for n, v in means.items() if n != reference}
    worst = (min if measure.higher_is_better else max)(changes, key=changes.__getitem__)
    best = (max if measure.higher_is_better else min)(changes, key=changes.__getitem__)
    improves = changes[best] > 0 if measure.higher_is_better else changes[best] < 0
    worsens = changes[worst] < 0 if measure.higher_is_better else changes[worst] > 0

    def told(name: str) -> str:
        clear = _clearness(evidence, measure, reference, name, len(changes))
        change = quoted(
            evidence.of(name),
            measure.field,
            digits=measure.digits,
            against=evidence.of(reference),
        ).html(links=False)
        return f"{_named(evidence, name)} ({change} {measure.unit_of_change}{clear})"

    if len(changes) == 1:
        verdict = "better" if improves else "worse" if worsens else "the same"
        return f"{start}; {verdict} with {told(best)}."
    end = f"worst with {told(worst)}" if worsens else "no variant makes it worse"
    other = f"best with {told(best)}" if improves else "no variant makes it better"
    return f"{start}; {end}, {other}."


def _answer_of_sweep(evidence: Evidence, measure: Measure) -> str:
    """Where the measure is best and worst, and whether it goes one way."""
    means = _means(evidence, measure)
    over = evidence.experiment.over
    best, worst = _best_and_worst(means, measure)
    # the two were picked out of all pairs
    clear = _clearness(evidence, measure, best, worst, math.comb(len(means), 2))
    steps = [
        b - a for a, b in zip(list(means.values())[:-1], list(means.values())[1:], strict=True)
    ]
    way = ""
    if len(steps) > 1 and all(step < 0 for step in steps):
        way = f" It falls all along as `{over}` grows."
    elif len(steps) > 1 and all(step > 0 for step in steps):
        way = f" It rises all along as `{over}` grows."
    return (
        f"{measure.title} is best at `{over}` = {evidence.position(best):g} "
        f"({_number(evidence, measure, best)}) and worst at {evidence.position(worst):g} "
        f"({_number(evidence, measure, worst)}{clear}).{way}"
    )


def _best_and_worst(means: dict[str, float], measure: Measure) -> tuple[str, str]:
    low, high = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
    return (high, low) if measure.higher_is_better else (low, high)


def _extremes(evidence: Evidence, measure: Measure) -> str:
    means = _means(evidence, measure)
    if len(means) < 2:
        return ""
    best, worst = _best_and_worst(means, measure)
    return (
        f"{measure.title[0].upper()}{measure.title[1:]}: best "
        f"{_number(evidence, measure, best)} (`{best}`), worst "
        f"{_number(evidence, measure, worst)} (`{worst}`)."
    )


SWEPT = {
    "delta": "depth of the camera Δ",
    "flow_components": "dimensions of the prior",
    "n_unpaired": "unpaired poses",
    "lam": "λ",
    "gamma": "γ",
}
"""Parameters that experiments go through → what stands at the axis."""


@in_house_style
def ablation_figure(evidence: Evidence) -> Figure:
    """A panel for each measure: each run a dot, their mean a bar, or a line over a sweep.

    Variants without runs keep their row, marked as missing; without any record the figure says so.
    """
    if not evidence.records:
        figure = new_figure(7.0, 0.5)
        figure.text(0.5, 0.5, "missing: no records yet", ha="center", va="center", fontsize=9)
        return figure
    draw = _draw_sweep if evidence.experiment.over else _draw_variants
    n = len(evidence.measures)
    height = 2.8 if evidence.experiment.over else 0.9 + 0.27 * len(evidence.variants)
    figure = new_figure(7.0 if n > 1 or not evidence.experiment.over else 4.5, height)
    axes = figure.subplots(1, n, squeeze=False, sharey=not evidence.experiment.over)[0]
    for ax, measure in zip(axes, evidence.measures, strict=True):
        draw(ax, evidence, measure)
        ax.tick_params(labelsize=8)
    return figure


def _draw_variants(ax: Any, evidence: Evidence, measure: Measure) -> None:
    for row, name in enumerate(evidence.variants):
        values = evidence.values(name, measure)
        if not values:
            ax.text(0, row, " missing", va="center", fontsize=8)
            continue
        ax.barh(row, statistics.mean(values), color="#9ecae1", height=0.7)
        ax.plot(values, [row] * len(values), "o", color="#08519c", markersize=4)
    reference = evidence.values(evidence.variants[0], measure)
    if reference:
        ax.axvline(statistics.mean(reference), color="#444444", linestyle=":", linewidth=1.0)
    names = [name.replace("_", " ") for name in evidence.variants]
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.set_xlabel(measure.label, fontsize=8)


def _draw_sweep(ax: Any, evidence: Evidence, measure: Measure) -> None:
    places = {name: evidence.position(name) for name in evidence.present}
    means = _means(evidence, measure)
    for name in means:
        values = evidence.values(name, measure)
        ax.plot([places[name]] * len(values), values, "o", color="#08519c", markersize=4)
    ax.plot([places[name] for name in means], list(means.values()), color="#9ecae1", zorder=1)
    if min(places.values()) > 0 and max(places.values()) >= 4 * min(places.values()):
        ax.set_xscale("log")
    ticks = [places[name] for name in places]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    over = evidence.experiment.over
    ax.set_xlabel(SWEPT.get(over, over), fontsize=8)
    ax.set_ylabel(measure.label, fontsize=8)


__all__ = [
    "FEWEST_SEEDS",
    "LEVEL",
    "MEASURES",
    "Evidence",
    "Measure",
    "ablation_figure",
    "answer_sentence",
    "answer_table",
    "changes_of",
    "describe",
    "is_clear",
    "records_for",
    "welch_p_value",
]
