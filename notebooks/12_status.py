# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # All runs
#
# **Goal.** Every run of every experiment: what is done, what failed, what is missing, and the command
# that makes it. Each done run leads to its record.
#
# **Time and device.** Seconds: this page reads `experiments/*.yaml`, the records of this build and the
# committed ones. How a number leads back to its run stands under
# [how to read the numbers](../book/reading_numbers).

# %% tags=["parameters"]
data = "embedded"
data_root = ""
data_train = ""
data_test = ""
preset = "quick"
seed = 0
cache = "build/cache"
runs = "build/embedded-quick/runs"

# %% tags=["hide-input"]
from experiments.notebooks import check_parameters

check_parameters(
    globals(),
    ["data", "data_root", "data_train", "data_test", "preset", "seed", "cache", "runs"],
)

# %% tags=["hide-input"]
from IPython.display import Markdown

from book.kit.provenance import provenance_box
from experiments.records import published_records
from book.kit.status import (
    cells_of_build,
    count_states,
    counts_text,
    published_tables,
    status_tables,
)

cells = cells_of_build(preset=preset, data=data, runs=runs)
committed = published_records()
counts = counts_text(count_states(cells))
Markdown(
    f"Of this build ({data} data, preset `{preset}`): **{counts}**. Committed under `results/`: "
    f"**{len(committed)} records**."
)

# %% [markdown]
# ## Runs of this build
#
# `make book` makes those that it needs for its pages; the others are made by `make experiments`, by a
# campaign, or one by one with the command that stands in their row. *failed*: the last attempt ended
# with an error, which stands in the run's folder. *stopped*: there is a checkpoint, and the same
# command goes on from it.

# %% tags=["hide-input"]
status_tables(cells)

# %% [markdown]
# ## Published runs

# %% tags=["hide-input"]
published_tables(committed)

# %% tags=["hide-input"]
provenance_box()
