"""The command line in process: a whole small run, and one line for every mistake."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from selfpose import cli
from selfpose.evaluation.advice import advice
from selfpose.cli import parse_overrides
from selfpose.config import PRESETS, VARIANTS, Config
from experiments.records import read_record

SMALL = [
    "--set", "n_unlabelled=64", "--set", "n_unpaired=64", "--set", "n_test=16",
    "--set", "flow_steps=4", "--set", "lift_steps=4",
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
    assert done.exit_code == 0
    shown = done.output
    assert str(out / "record.json") in shown
    assert all(name in shown for name in ("this run", "flat", "mean_pose", "supervised"))
    return out


def test_train_leaves_the_record_that_its_options_say(trained: Path) -> None:
    record = read_record(trained)
    assert (record["seed"], record["preset"], record["input"]) == (3, "smoke", "poses")
    assert record["parameters"]["lift_steps"] == 4
    assert record["n_test"] == 16
    assert {"p_mpjpe_mm", "n_mpjpe_mm", "error_2d_percent"} <= set(record["metrics"])


def test_evaluate_prints_json(trained: Path) -> None:
    arguments = ["evaluate", str(trained / "weights.safetensors"), "--n-test", "8"]
    done = CliRunner().invoke(cli.cli, arguments)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["metrics"]["error_2d_percent"] == 0


def test_data_check_tells_what_is_there(tmp_path: Path) -> None:
    out = tmp_path / "samples.png"
    done = CliRunner().invoke(cli.cli, ["data", "check", "embedded", "--out", str(out)])
    assert done.exit_code == 0
    assert out.is_file()
    assert "data set embedded, body human_17" in done.stdout
    assert "right_knee – right_ankle" in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["train", "-h"], ["--version"]])
def test_help_and_version_end_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    code, out, err = run_main(monkeypatch, capsys, *arguments)
    assert code == 0
    assert "elfpose" in out
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "stepz=3"], "unknown parameter 'stepz'; did you mean 'steps'"),
        (["--set", "steps"], "expected NAME=VALUE, got 'steps'"),
        (["--set", "drop=[bl"], "cannot read the value"),
        (["--set", "drop="], "drop must be a list of terms, got None"),
        (["--set", "steps=many"], "steps must be a whole number, got 'many'"),
        (["--set", "lift_lr=.nan"], "lift_lr must be finite"),
        (["--set", "seed=5"], "seed has an option of its own: give --seed"),
        (["--set", "input=images"], "input has an option of its own"),
        (["--set", "difficulty=hard", *SMALL], "hard"),
        (["--device", "quantum", *SMALL], "cannot compute on the device 'quantum'"),
        (["--data-root", "."], "read no folder"),
        (["--data", "cmu"], "need either data_root, or both data_train and data_test"),
    ],
)
@pytest.mark.usefixtures("without_shape_checks")
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
    assert err.count("\n") == 1 or "drop=[bl" in err  # YAML's own words take several lines
    assert not (out / "record.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "No such command 'trian'. Did you mean 'train'?"),
        (["train"], "Missing option '--out'"),
        (["train", "--preset", "fast", "--out", "x"], "'fast' is not one of"),
        (["train", "--data-root", "no-such-folder", "--out", "x"], "does not exist"),
        (["train", "--data", "folder", "--out", "x"], "from one folder: give --data-root DIR"),
        (["data", "check", "coco"], "from one folder: give --root DIR"),
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


def test_missing_and_broken_weights_end_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "w.safetensors"
    code, _, err = run_main(monkeypatch, capsys, "evaluate", str(path))
    assert code == 1
    assert "no such weights file" in err
    path.write_bytes(b"not weights")
    code, _, err = run_main(monkeypatch, capsys, "evaluate", str(path))
    assert code == 1
    assert "not a readable safetensors file" in err
    assert err.count("\n") == 1


def test_a_finished_folder_is_not_overwritten(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trained: Path
) -> None:
    before = (trained / "record.json").read_bytes()
    code, _, err = run_main(
        monkeypatch, capsys,
        "train", "--input", "poses", "--preset", "smoke", "--out", str(trained), *SMALL,
    )  # fmt: skip
    assert code == 1
    assert "seed: 3, now 0" in err
    assert (trained / "record.json").read_bytes() == before


def test_an_interrupt_ends_with_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupt(*given: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("selfpose.run.run_experiment", interrupt)
    code, _, _ = run_main(
        monkeypatch, capsys, "train", "--preset", "smoke", "--out", str(tmp_path / "run")
    )
    assert code == 130


def test_overrides_are_read_as_yaml() -> None:
    texts = ("steps=20", "lift_lr=1.5e-3", "drop=[bl, NF]", "augment=false", "preset=a=b")
    assert parse_overrides(texts) == {
        "steps": 20,
        "lift_lr": 1.5e-3,
        "drop": ["bl", "NF"],
        "augment": False,
        "preset": "a=b",
    }


def test_the_shown_config_is_the_runs_and_can_be_given_back() -> None:
    arguments = ["train", "--preset", "smoke", "--variant", "paper", "--set", "steps=7"]
    done = CliRunner().invoke(cli.cli, [*arguments, "--show-config"])
    assert done.exit_code == 0
    shown = yaml.safe_load(done.output)
    assert shown["steps"] == 7
    wanted = Config.for_run(
        preset="smoke", variant="paper", overrides={"steps": 7, "input": "images", "seed": 0}
    )
    assert Config.from_dict(shown) == wanted


def test_the_names_in_the_help_are_those_of_the_config() -> None:
    assert set(cli.PRESETS) == set(PRESETS)
    assert set(cli.VARIANTS) == set(VARIANTS)


@pytest.mark.parametrize(
    "arguments", [["--version"], ["train", "--help"], ["data", "check", "folder"], ["trian"]]
)
def test_help_and_mistakes_do_not_wait_for_pytorch(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom selfpose.cli import main\nsys.argv[1:] = " + repr(arguments) + "\n"
        "try:\n    main()\nfinally:\n"
        "    slow = {'torch', 'pandas', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "    print('loaded:', sorted(slow))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "loaded: []" in done.stdout, done.stderr


def test_help_says_where_the_parameters_are_listed() -> None:
    shown = CliRunner().invoke(cli.cli, ["train", "--help"]).output
    assert "--show-config" in shown.split("Options:")[0]


def test_advice_names_what_is_learnt_of_the_cameras_and_depth_that_is_none() -> None:
    metrics = {
        "p_mpjpe_mm": 70.0, "p_mpjpe_reflection_mm": 44.0,
        "elevation_mean_deg": -34.0, "elevation_sd_deg": 2.0,
    }  # fmt: skip
    record = {
        "metrics": metrics,
        "baselines": {"flat": {"p_mpjpe_mm": 55.0}, "supervised": None},
        "parameters": {"elevation": "learned"},
    }
    first, second = advice(record)
    assert "no better than the same 2D poses laid flat: much of it is mirrored" in first
    assert "look up by 34 ± 2 degrees" in second
    record["parameters"] = {"elevation": "fixed"}
    metrics["p_mpjpe_mm"] = 20.0
    assert list(advice(record)) == []
