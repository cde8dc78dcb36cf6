"""Names of the data sets, found without loading torch or any reader."""

GENERATED: tuple[str, ...] = ("embedded", "hand", "quadruped", "machine")
"""Made by the library, from no files: people, and three other bodies."""

RENDERED: tuple[str, ...] = ("cmu",)
"""Motion capture in a folder, rendered as pictures of clothed people."""

READERS: dict[str, tuple[str, str]] = {
    "folder": ("folder", "PictureFolder"),
    "coco": ("coco", "CocoKeypoints"),
    "human36m": ("human36m", "Human36M"),
    "human36m-mmpose": ("human36m", "MMPoseHuman36M"),
    "human36m-fetch": ("human36m", "FetchHuman36M"),
    "mpi-inf-3dhp": ("mpi_inf_3dhp", "MPIInf3DHP"),
    "mpi-inf-3dhp-mmpose": ("mpi_inf_3dhp", "MMPoseMPIInf3DHP"),
    "rhd": ("hands_files", "RHD"),
    "freihand": ("hands_files", "FreiHAND"),
}
"""Pictures and poses in a folder: the module of :mod:`selfpose.data` and its class that read it."""

FILES = tuple(READERS)
SOURCES = GENERATED + RENDERED + FILES


def data_arguments(name: str, *, two_folders: bool = False) -> list[str]:
    """Words of a command line that name a data set; ``FOLDER`` stands for a place of one's own.

    >>> data_arguments("hand"), data_arguments("coco")
    (['--data', 'hand'], ['--data', 'coco', '--data-root', 'FOLDER'])
    """
    folders = ["--data-train", "--data-test"] if two_folders else ["--data-root"]
    given = [] if name in GENERATED else [word for f in folders for word in (f, "FOLDER")]
    return ["--data", name, *given]
