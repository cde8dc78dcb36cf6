"""What must be known before the answer of an experiment is read: short runs, floors not beaten."""

from collections.abc import Sequence

from selfpose.config import Config
from book.kit.quotes import field_value, quoted
from experiments.records import Record

STEPS: dict[str, tuple[tuple[str, str], ...]] = {
    "poses": (("lift_steps", "lifting"), ("flow_steps", "the prior")),
    "images": (("steps", "pictures"), ("lift_steps", "lifting"), ("flow_steps", "the prior")),
}
"""Numbers of steps that an experiment may cut, by what runs start from, and what they train."""


def shortened(record: Record) -> str:
    """How many steps of its preset's a run took, in words; empty if all."""
    full = Config.for_run(preset=record["preset"])
    told = []
    for name, what in STEPS[record["input"]]:
        of = getattr(full, name)
        took = record["parameters"].get(name, of)  # records of older versions may lack one
        if took < of:
            told.append(f"{took} of {of} steps of {what}")
    return f"shortened to {', '.join(told)}" if told else ""


def below_no_floor(
    records: Sequence[Record], column: str, title: str, unit: str, *, who: str = "the full method"
) -> str:
    """A warning, as Markdown, where the mean pose has a smaller error than these runs.

    Parameters
    ----------
    records
        Runs of the full method, or of what the sentence is about.
    column, title, unit
        The error's name in records and in sentences, and its unit.
    who
        What the sentence calls them.
    """
    fields = [f"{part}.{column}" for part in ("metrics", "baselines.mean_pose")]
    pairs = [[field_value(record, field) for field in fields] for record in records]
    known = [(run, floor) for run, floor in pairs if run is not None and floor is not None]
    if not known or sum(run for run, _ in known) < sum(floor for _, floor in known):
        return ""
    floor = quoted(records, fields[1], digits=1, form="plain").html(links=False)
    return f"By {title} {who} does not beat the mean pose here ({floor} {unit})."


__all__ = ["STEPS", "below_no_floor", "shortened"]
