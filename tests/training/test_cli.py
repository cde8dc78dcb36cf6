"""The command line in process: a whole small run, and one line for every mistake."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from selfpose import cli
from selfpose.config import Config
from selfpose.run import read_record

SMALL = [
    "--set", "data.n_unlabelled=64", "--set", "data.n_unpaired=64", "--set", "data.n_test=16",
    "--set", "flow.steps=4", "--set", "lifting.steps=4",
]  # fmt: skip


def run_main(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of ``selfpose ARGUMENTS``."""
    monkeypatch.setattr("sys.argv", ["selfpose", *arguments])
    code = 0
    try:
        cli.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    seen = capsys.readouterr()
    return code, seen.out, seen.err


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run made by the command line."""
    out = tmp_path_factory.mktemp("runs") / "poses"
    arguments = ["train", "--input", "poses", "--preset", "smoke", "--quiet", "--seed", "3"]
    done = CliRunner().invoke(cli.cli, [*arguments, *SMALL, "--out", str(out)])
    assert done.exception is None
    assert str(out / "record.json") in done.output
    rows = ("this run", "flat", "mean_pose", "supervised")
    assert all(name in done.output for name in rows)
    return out


def test_train_leaves_the_record_that_its_options_say(trained: Path) -> None:
    record = read_record(trained)
    assert (record["seed"], record["preset"], record["input"]) == (3, "smoke", "poses")
    assert record["parameters"]["lifting"]["steps"] == 4
    assert record["counts"]["test"] == 16


def test_evaluate_takes_a_run_and_prints_json(trained: Path) -> None:
    done = CliRunner().invoke(cli.cli, ["evaluate", str(trained), "--n-test", "8"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["metrics"]["error_2d_percent"] == 0


def test_data_check_tells_what_is_there(tmp_path: Path) -> None:
    out = tmp_path / "samples.png"
    done = CliRunner().invoke(cli.cli, ["data", "check", "embedded", "--out", str(out)])
    assert done.exit_code == 0
    assert out.is_file()
    assert "right_knee" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "pictures.stepz=3"], "unknown parameter 'pictures.stepz'; did you mean"),
        (["--set", "flow.steps"], "expected NAME=VALUE, got 'flow.steps'"),
        (["--set", "flow.steps=[1"], "cannot read the value"),
        (["--set", "lifting.lr=.nan"], "lifting.lr must be finite"),
        (["--device", "quantum", *SMALL], "cannot compute on the device 'quantum'"),
        (["--data-root", "."], "folder"),
        (["--data", "cmu"], "data_root"),
    ],
)
def test_mistakes_end_with_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    out = tmp_path / "run"
    code, shown, err = run_main(
        monkeypatch, capsys, "train", "--input", "poses", "--quiet", "--out", str(out), *arguments
    )
    assert code == 1
    assert shown == ""
    assert err.startswith("Error: ")
    assert message in err
    assert not (out / "record.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "No such command 'trian'. Did you mean 'train'?"),
        (["train"], "Missing option '--out'"),
        (["train", "--preset", "fast", "--out", "x"], "'fast' is not one of"),
        (["train", "--data", "folder", "--out", "x"], "need --data-root"),
        (["data", "check", "coco"], "need --root"),
        (["data", "check", "folder", "--root", ".", "--image-size", "60"], "no power of two"),
    ],
)
def test_misuse_ends_with_code_two(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    code, _, err = run_main(monkeypatch, capsys, *arguments)
    assert code == 2
    assert message in err


def test_an_interrupt_ends_with_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupt(*given: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("selfpose.run.run_experiment", interrupt)
    arguments = ["train", "--preset", "smoke", "--out", str(tmp_path / "run")]
    assert run_main(monkeypatch, capsys, *arguments)[0] == 130


def test_the_shown_config_is_the_runs_and_can_be_given_back() -> None:
    arguments = ["train", "--preset", "smoke", "--variant", "paper", "--set", "pictures.steps=7"]
    done = CliRunner().invoke(cli.cli, [*arguments, "--show-config"])
    assert done.exit_code == 0
    shown = yaml.safe_load(done.output)
    wanted = Config.for_run(preset="smoke", variant="paper", overrides={"pictures.steps": 7})
    assert Config().with_(shown) == wanted


@pytest.mark.parametrize("arguments", [["train", "--help"], ["data", "check", "folder"]])
def test_help_and_mistakes_do_not_wait_for_pytorch(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom selfpose.cli import cli\n"
        f"try:\n    cli({arguments!r})\nfinally:\n"
        "    slow = {'torch', 'pandas', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "    print('loaded:', sorted(slow))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "loaded: []" in done.stdout, done.stderr
