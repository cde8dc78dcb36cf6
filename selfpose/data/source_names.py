"""Names of the data sets, found without loading any of the readers."""

GENERATED: tuple[str, ...] = ("embedded", "hand", "quadruped", "machine")
"""Made by the library, from no files: people, and three other bodies."""

RENDERED: tuple[str, ...] = ("cmu",)
"""Motion capture in a folder, rendered as pictures of clothed people."""

FILES: tuple[str, ...] = (
    "folder",
    "coco",
    "human36m",
    "human36m-mmpose",
    "human36m-videopose3d",
    "human36m-fetch",
    "mpi-inf-3dhp",
    "mpi-inf-3dhp-mmpose",
    "rhd",
    "freihand",
)
"""Pictures and poses in a folder, read and prepared."""

SOURCES = GENERATED + RENDERED + FILES

BODY_OF = {"embedded": "human"} | {name: name for name in GENERATED[1:]}
"""The body that each generated data set shows."""


def data_arguments(name: str, *, two_folders: bool = False) -> list[str]:
    """Words of a command line that name a data set; ``FOLDER`` stands for a place of one's own.

    >>> data_arguments("hand"), data_arguments("coco")
    (['--data', 'hand'], ['--data', 'coco', '--data-root', 'FOLDER'])
    """
    words = ["--data", name]
    if name in GENERATED:
        return words
    if two_folders:
        return [*words, "--data-train", "FOLDER", "--data-test", "FOLDER"]
    return [*words, "--data-root", "FOLDER"]


__all__ = ["BODY_OF", "FILES", "GENERATED", "RENDERED", "SOURCES", "data_arguments"]
