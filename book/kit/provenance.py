"""Where a number comes from: a page for each record, links to it, and the command that makes it."""

import hashlib
import html
import json
import re
import shlex
import string
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from selfpose.config import Config, flatten
from selfpose.data.source_names import data_arguments
from selfpose.files import write_json
from selfpose.run import Record

SITE_RECORDS = "_static/records"
"""Where the site keeps the pages of records."""
_PAGE = string.Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Record: $title</title>
<style>
:root { color-scheme: light dark; }
body { font-family: sans-serif; margin: 1rem auto; max-width: 60rem; padding: 0 1rem; }
h1, th, td, code { overflow-wrap: anywhere; }
th { font-weight: normal; text-align: left; vertical-align: top; padding-right: 1rem; }
</style>
</head>
<body>
<main>
<h1>Record: $title</h1>
<p>The run was made at $commit. With the library as it is now, this makes it again:
<code>$command</code></p>
<p><a href="$name.json">The record as JSON</a>; <a href="../../index.html">the book</a>.</p>
$table
</main>
</body>
</html>
""")


def record_name(record: Record) -> str:
    """A record's name within the site: what it is of, and a digest of what it says."""
    content = {key: value for key, value in record.items() if key != "path"}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    parts = [str(record[key]) for key in ("dataset", "preset", "experiment", "variant", "seed")]
    return re.sub(r"[^\w.-]+", "_", "-".join([*parts, digest]))


def cell(record: Record) -> str:
    """The run's place in the matrix: ``experiment/variant/seed0``."""
    return f"{record['experiment']}/{record['variant']}/seed{record['seed']}"


def record_link(record: Record, text: str = "") -> str:
    """A link (HTML) from a page to a record; by default it reads ``experiment/variant/seed0``."""
    label = f' aria-label="record of {html.escape(cell(record))}"' if text else ""
    return (
        f'<a class="record" href="../{SITE_RECORDS}/{record_name(record)}.html"{label}>'
        f"{html.escape(text or cell(record))}</a>"
    )


def record_links(records: Sequence[Record]) -> str:
    """Links to several records: by their seeds if that tells them apart."""
    same = len({(r["dataset"], r["experiment"], r["variant"]) for r in records}) == 1
    return ", ".join(record_link(r, f"seed {r['seed']}" if same else "") for r in records)


def changed_parameters(record: Record) -> dict[str, Any]:
    """The parameters of a run, by dotted name, that its preset and variant do not set."""
    own = flatten(record["parameters"])
    names = ("preset", "variant", "input", "seed")
    plain = Config.for_run(**{name: own[name] for name in names}).flat()
    return {name: value for name, value in own.items() if plain.get(name) != value}


def parameters_text(parameters: Mapping[str, Any]) -> str:
    """Parameters as ``name = value, …``; ``none`` where there are none.

    >>> parameters_text({"terms.NF": 0.0, "lifting.source": "predicted"}), parameters_text({})
    ('terms.NF = 0.0, lifting.source = "predicted"', 'none')
    """
    return ", ".join(f"{name} = {json.dumps(v)}" for name, v in parameters.items()) or "none"


def rerun_command(record: Record) -> str:
    """The command that makes a record again, beside the first.

    ``FOLDER`` stands for data that are not part of the repository.
    """
    own = record["parameters"]
    subjects = record["data"].get("subjects", {})
    # apart, if they were read from two folders
    apart = "images" in subjects and not {*subjects["images"]} & {*subjects["test"]}
    words = [".venv/bin/selfpose", "train", *data_arguments(record["dataset"], two_folders=apart)]
    for name, value in record.get("data_options", {}).items():
        words += ["--data-option", f"{name}={json.dumps(value)}"]
    for name in ("input", "preset", "variant", "seed"):
        words += [f"--{name}", str(own[name])]
    words += ["--experiment", record["experiment"], "--label", record["variant"]]
    for name, value in changed_parameters(record).items():
        words += ["--set", f"{name}={json.dumps(value)}"]
    return shlex.join([*words, "--out", "build/again"])


def commit_text(record: Mapping[str, Any]) -> str:
    """The commit in seven letters, and whether anything had been changed since."""
    if not record["commit"]:
        return "no known commit"
    return f"commit {record['commit'][:7]}{' with changes' * bool(record['commit_dirty'])}"


def record_page(record: Record) -> str:
    """A page (HTML) with every value of a record under its dotted name."""
    values = flatten({key: value for key, value in record.items() if key != "path"})
    texts = pd.Series({k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items()})
    with pd.option_context("display.max_colwidth", None):
        table = texts.to_frame().to_html(header=False, border=0)
    return _PAGE.substitute(
        title=html.escape(f"{cell(record)} ({record['dataset']}, {record['preset']})"),
        name=record_name(record),
        commit=commit_text(record),
        command=html.escape(rerun_command(record)),
        table=table,
    )


def write_record_pages(records: Iterable[Record], folder: str | Path) -> None:
    """Write each record as JSON and as a page."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for record in records:
        name = record_name(record)
        write_json(folder / f"{name}.json", {k: v for k, v in record.items() if k != "path"})
        (folder / f"{name}.html").write_text(record_page(record), encoding="utf-8")
