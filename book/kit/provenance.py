"""What made a record, what would make it again, and where a page says both.

:func:`provenance_box` ends a page; :func:`write_record_pages` puts the records into the site, where
the links of :mod:`book.kit.quotes` find them.
"""

import datetime
import hashlib
import html
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from IPython.display import HTML

from selfpose.config import Config
from selfpose.data.source_names import data_arguments
from book.kit.quotes import (
    NONE,
    Quote,
    field_value,
    quote_from_attributes,
    quoted,
    record_link,
    record_name,
)
from experiments.records import Record, environment, read_records, write_json
from experiments.workflow import Experiment, read_experiments, run_config

# --- what made a record, and what would make it again ------------------------------------------


@cache
def _experiments() -> dict[str, Experiment]:
    return {item.name: item for item in read_experiments()}


def changed_parameters(record: Record) -> dict[str, Any]:
    """The parameters of a run that differ from those of its preset and variant; no seed among them.

    Where the record's preset or variant is not known here, or its parameters are of another
    version of the library, all of them.
    """
    own = dict(record["parameters"])
    identity = {name: own.pop(name, None) for name in ("preset", "variant", "input", "seed")}
    try:
        plain = Config.for_run(
            preset=identity["preset"],
            variant=identity["variant"],
            overrides={"input": identity["input"], "seed": identity["seed"]},
        ).to_dict()
    except (TypeError, ValueError):
        return own
    return {name: value for name, value in own.items() if plain.get(name) != value}


def is_as_defined(record: Record) -> bool:
    """Whether ``experiments/`` still defines this very run, with these parameters."""
    item = _experiments().get(record["experiment"])
    preset = record.get("preset")
    if (
        item is None
        or record["variant"] not in item.variants
        or preset not in item.presets
        or record["dataset"] not in item.data
    ):
        return False
    run = item.run(preset=preset, variant=record["variant"], seed=record["seed"])
    now = run_config(run, preset=preset).to_dict()
    free = {"checkpoint_every_s"}  # when a run saves does not change what it learns
    own = record["parameters"]
    return all(now.get(name) == own.get(name) for name in {*now, *own} - free)


def rerun_command(record: Record) -> str:
    """The command that makes a record again, beside the first.

    A cell of an experiment is named as such; any other run is spelled out with every parameter
    that its preset does not set. ``FOLDER`` stands for data that are not part of the repository.
    """
    data = str(record["dataset"])
    subjects = field_value(record, "data.subjects")
    two = isinstance(subjects, dict) and "images" in subjects
    two = two and not {*subjects["images"]} & {*subjects["test"]}
    places = data_arguments(data, two_folders=two)
    for name, value in (record.get("data_options") or {}).items():
        places += ["--data-option", f"{name}={json.dumps(value)}"]
    own = record["parameters"]
    if is_as_defined(record):
        cell = f"{record['experiment']}/{record['variant']}/seed{record['seed']}"
        words = ["campaign", "--preset", own["preset"], *places]
        return shlex.join([".venv/bin/selfpose", *words, "--cell", cell, "--out", "build/again"])
    words = ["train", *(w for k in ("input", "preset", "variant") for w in (f"--{k}", own[k]))]
    words += [*places, "--seed", str(record["seed"])]
    words += ["--experiment", record["experiment"]]
    # The commit to check out knows no parameter that came later than the record.
    stated = record.get("stated", list(own))
    for name, value in changed_parameters(record).items():
        if name in stated:
            words += ["--set", f"{name}={json.dumps(value)}"]
    return shlex.join([".venv/bin/selfpose", *words, "--out", "build/again"])


def data_fingerprint(record: Record) -> str:
    """A digest of the data: of the files' names and sizes, or of what the generator was told."""
    if record.get("data_files"):
        return str(record["data_files"])
    told = json.dumps(record.get("data"), sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def parameters_text(parameters: Mapping[str, Any]) -> str:
    """Parameters as ``name = value, …``; ``none`` where there are none.

    >>> parameters_text({"drop": ["NF"], "delta": 5.0}), parameters_text({})
    ('drop = ["NF"], delta = 5.0', 'none')
    """
    return ", ".join(f"{name} = {json.dumps(v)}" for name, v in parameters.items()) or "none"


def versions_text(record: Record) -> str:
    """The versions a record was made with, ``name number`` by name."""
    return ", ".join(f"{name} {number}" for name, number in record["versions"].items())


def commit_text(record: Mapping[str, Any]) -> str:
    """The commit in seven letters, and whether anything had been changed since."""
    if not record.get("commit"):
        return "no commit known"
    return f"{record['commit'][:7]}{' with uncommitted changes' * bool(record['commit_dirty'])}"


# --- the box that ends a page -------------------------------------------------------------------


PLACES = ("data_root", "data_train", "data_test")
"""Parameters of pages that name folders."""


def page_command(page: str, parameters: Mapping[str, Any]) -> str:
    """The command that runs a page's notebook alone, with parameters that are set (not empty).

    >>> page_command("01_renderer", {"preset": "smoke", "seed": 0, "data_root": ""})
    '.venv/bin/papermill notebooks/01_renderer.ipynb out.ipynb -p preset smoke -p seed 0'
    """
    words = [".venv/bin/papermill", f"notebooks/{page}.ipynb", "out.ipynb"]
    for name, value in parameters.items():
        words += ["-p", name, str(value)] if value != "" else []
    return shlex.join(words)


def provenance_box(
    records: str | Path | Record | Iterable[Record] = (),
    *,
    command: str = "make book",
    page: str = "",
    parameters: Mapping[str, Any] | None = None,
) -> HTML:
    """A folded box: what made this page, and each run behind it with the command for it.

    Parameters
    ----------
    records
        The records that the page shows, one or many, or a folder of runs. A page that shows none
        leaves it out.
    command
        What makes the page again.
    page, parameters
        Of a page that computes for itself: its notebook's name, and its parameters, seed included.
        The box then has the command for this notebook alone.

    Raises
    ------
    FileNotFoundError
        If a folder is named that is not there.
    """
    chosen = _unique(_read(records))
    # where the data lie is this machine's business
    own = {k: "FOLDER" if v and k in PLACES else v for k, v in (parameters or {}).items()}
    rows = [_fact("This page", _of_page(command))]
    if page:
        alone = page_command(page, own)
        rows.append(_fact("Its notebook alone", f"<code>{html.escape(alone)}</code>"))
    if own:
        rows.append(_fact("Its parameters", html.escape(parameters_text(own))))
    if chosen:
        rows += [_fact(title, text) for title, text in _facts(chosen)]
    parts = ["<dl>", *rows, "</dl>"]
    if chosen:
        parts.append(_runs_table(chosen))
    count = f"{len(chosen)} record{'s' * (len(chosen) != 1)}" if chosen else "no record"
    return HTML(
        '<details class="provenance"><summary>Where this page comes from: commit, parameters, '
        f"seeds, device, commands ({count})</summary>\n{''.join(parts)}\n</details>"
    )


def _read(records: str | Path | Record | Iterable[Record]) -> list[Record]:
    if isinstance(records, str | Path):
        if not Path(records).is_dir():
            raise FileNotFoundError(f"{records}: no folder of runs; `make book` makes them")
        return read_records(records)
    return [records] if isinstance(records, dict) else list(records)


def _unique(records: Iterable[Record]) -> list[Record]:
    return list({record_name(record): record for record in records}.values())


def _fact(title: str, text: str) -> str:
    return f"<dt>{html.escape(title)}</dt><dd>{text}</dd>"


def _of_page(command: str) -> str:
    now = environment("cpu")
    made = datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")
    facts = f"{commit_text(now)}; {versions_text(now)}; {now['device']}; {made}"
    return f"<code>{html.escape(command)}</code> at commit {html.escape(facts)}"


def _facts(records: list[Record]) -> Iterator[tuple[str, str]]:
    """What all runs share, or how many values there are: the table has them one by one."""
    seconds = sum(float(record["duration_s"]) for record in records)
    days = sorted(str(record["started"])[:10] for record in records)
    yield "Runs", f"{len(records)}, {_hours(seconds)} of computing in all"
    yield "When", days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
    yield "Seeds", ", ".join(str(seed) for seed in sorted({record["seed"] for record in records}))
    for title, of in (
        ("Commit", commit_text),
        ("Device", lambda r: str(r["device"])),
        ("Versions", versions_text),
        ("Data", lambda r: f"{r['dataset']}, preset {r.get('preset')}, {data_fingerprint(r)}"),
    ):
        values = sorted({of(record) for record in records})
        shown = "; ".join(values[:4]) + f"; and {len(values) - 4} more" * (len(values) > 4)
        yield title, html.escape(shown)


def _hours(seconds: float) -> str:
    """A duration in a unit that suits it.

    >>> _hours(48.0), _hours(1500.0), _hours(86400.0)
    ('48 s', '25 min', '24.0 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _runs_table(records: list[Record]) -> str:
    titles = ("run", "commit", "device", "date", "seconds", "changed parameters", "made again by")
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    body = "".join(
        f'<tr><th scope="row">{record_link(r)}</th><td>{html.escape(commit_text(r))}</td>'
        f"<td>{html.escape(str(r['device']))}</td><td>{html.escape(str(r['started'])[:10])}</td>"
        f"<td>{quoted(r, 'duration_s', digits=0)}</td>"
        f"<td>{html.escape(parameters_text(changed_parameters(r)))}</td>"
        f"<td>{_again(r)}</td></tr>"
        for r in records
    )
    return (
        '<div class="provenance-runs" tabindex="0" role="group" aria-label="The runs behind this '
        f'page"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _again(record: Record) -> str:
    command = f"<code>{html.escape(rerun_command(record))}</code>"
    if record.get("commit"):
        return f"<code>git checkout {html.escape(record['commit'][:7])}</code>, then {command}"
    return command


# --- the records within the site --------------------------------------------------------------


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested tables by its dotted path; lists are values.

    >>> list(leaves({"metrics": {"p_mpjpe_mm": 81.2}, "seed": 0}))
    [('metrics.p_mpjpe_mm', 81.2), ('seed', 0)]
    """
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from leaves(child, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Record: {title}</title>
<style>
:root {{ color-scheme: light; background: #fff; color: #222; }}
body {{ font-family: sans-serif; margin: 1rem auto; max-width: 60rem; padding: 0 1rem; }}
h1, th, td, code {{ overflow-wrap: anywhere; }}
th {{ font-weight: normal; text-align: left; vertical-align: top; padding-right: 1rem; }}
td {{ font-family: monospace; }}
a {{ color: #0b5394; }}
tr:target {{ background: #ffe9a8; }}
@media (prefers-color-scheme: dark) {{
:root {{ color-scheme: dark; background: #121212; color: #eee; }}
a {{ color: #9ecbff; }}
tr:target {{ background: #5b4a00; }}
}}
</style>
</head>
<body>
<main>
<h1>Record: {title}</h1>
<p>Made by <code>{command}</code>, at commit {commit}. <a href="{file}">The record as JSON</a>;
<a href="{top}">the book</a>.</p>
<table>
{rows}
</table>
</main>
</body>
</html>
"""


def record_page(record: Record) -> str:
    """A page (HTML) with every value of a record, each under its dotted path as its anchor."""
    name = record_name(record)
    content = {key: value for key, value in record.items() if key != "path"}
    rows = "\n".join(
        f'<tr id="{html.escape(path)}"><th scope="row">{html.escape(path)}</th>'
        f"<td>{html.escape(value if isinstance(value, str) else json.dumps(value))}</td></tr>"
        for path, value in leaves(content)
    )
    cell = f"{record['experiment']}/{record['variant']}/seed{record['seed']}"
    return _PAGE.format(
        title=html.escape(f"{cell} ({record['dataset']}, {record.get('preset')})"),
        command=html.escape(rerun_command(record)),
        commit=html.escape(commit_text(record)),
        file=html.escape(f"{name.rpartition('/')[2]}.json"),
        top="../" * (name.count("/") + 2) + "index.html",
        rows=rows,
    )


def write_record_pages(records: Iterable[Record], folder: str | Path) -> list[str]:
    """Write each record as JSON and as a page below a folder; returns their names."""
    names = []
    for record in _unique(records):
        name = record_name(record)
        path = Path(folder) / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {key: value for key, value in record.items() if key != "path"})
        path.with_suffix(".html").write_text(record_page(record), encoding="utf-8")
        names.append(name)
    return names


__all__ = [
    "NONE",
    "Quote",
    "changed_parameters",
    "commit_text",
    "data_fingerprint",
    "field_value",
    "is_as_defined",
    "leaves",
    "page_command",
    "parameters_text",
    "provenance_box",
    "quote_from_attributes",
    "quoted",
    "record_link",
    "record_name",
    "record_page",
    "rerun_command",
    "versions_text",
    "write_record_pages",
]
