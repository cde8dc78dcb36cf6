"""Foreign files: what numpy and MATLAB wrote comes back, what is malicious runs nothing."""

import copyreg
import functools
import os
import pickle
import subprocess
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from write_human import to_cells, write_mat73

from selfpose.data.arrays import expect, load_h5, load_mat, load_npz, load_pickle

ARRAYS = st.one_of(
    hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    for dtype in ("<f4", ">f8", "u1", "<i8", "?")
)
SAMPLES = st.dictionaries(
    st.integers(0, 99),
    st.dictionaries(
        st.sampled_from(["uv_vis", "xyz", "K"]), ARRAYS | ARRAYS.map(np.asfortranarray)
    ),
    max_size=3,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(samples=SAMPLES, protocol=st.integers(0, 4))
def test_samples_of_arrays_come_back(tmp_path: Path, samples: Any, protocol: int) -> None:
    path = tmp_path / "a.pickle"
    data = pickle.dumps(samples, protocol=protocol)
    path.write_bytes(data)
    np.testing.assert_equal(load_pickle(path), samples)
    if protocol < 4:  # numpy 1 wrote other module names
        path.write_bytes(data.replace(b"numpy._core.", b"numpy.core."))
        np.testing.assert_equal(load_pickle(path), samples)


class Calls:
    """Pickles as the call of a function."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


def objects(*items: Any) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def array_of(dtype: bytes, order: bytes, raw: bytes, *, flags: bytes = b"\x00") -> bytes:
    """{0: {"x": an array of one element}}, as numpy 1 pickles it under Python 2.7."""
    return (
        b"\x80\x02}K\x00}U\x01xcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b"
        b"\x87R(K\x01K\x01\x85cnumpy\ndtype\nU" + bytes([len(dtype)]) + dtype + b"K\x00K\x01\x87R(K"
        b"\x03U" + bytes([len(order)]) + order + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK" + flags
        + b"tb\x89U" + bytes([len(raw)]) + raw + b"tbss."
    )  # fmt: skip


def attacks(sentinel: Path) -> dict[str, bytes]:
    """Malicious pickles; those that can would create the sentinel."""
    touch = f"open({str(sentinel)!r}, 'w').close()"
    shell = f"touch {sentinel}"
    command = shell.encode()
    harm = Calls(os.system, shell)
    calls: dict[str, Any] = {
        "system": harm,
        "exec": Calls(exec, touch),
        "eval": Calls(eval, touch),
        "getattr": Calls(getattr, "", "join"),
        "popen": Calls(subprocess.Popen, ["touch", str(sentinel)]),
        "partial": Calls(functools.partial, os.system, shell),
        "copyreg": Calls(copyreg._reconstructor, Calls, object, None),
        "numpy.load": Calls(np.load, str(sentinel), None, True),
        "pickle in a pickle": Calls(pickle.loads, pickle.dumps(harm)),
        "in a sample": {0: {"xyz": np.zeros(2), "K": harm}},
        "in an object array": {0: {"xyz": objects(np.zeros(2), harm)}},
        "objects": {0: {"xyz": objects(1, 2)}},
        "structured": {0: {"xyz": np.zeros(2, dtype=[("a", "O")])}},
        "dates": {0: {"xyz": np.zeros(2, dtype="M8[s]")}},
        "no sample": [np.zeros(2)],
    }
    found = {
        f"{name}, protocol {protocol}": pickle.dumps(value, protocol=protocol)
        for name, value in calls.items()
        for protocol in (0, 2, 4)
    }
    reconstruct = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n"
    return found | {
        "global by hand": b"cos\nsystem\n(S'" + command + b"'\ntR.",
        "inst": b"(S'" + command + b"'\nios\nsystem\n.",
        "a test runner of numpy": b"cnumpy.testing\nrunstring\n(V" + touch.encode() + b"\n(dtR.",
        "a shell of f2py": b"cnumpy.f2py.diagnose\nrun_command\n(V" + command + b"\ntR.",
        "numpy's own globals": b"cnumpy.core.multiarray\nsystem\n.",
        "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.",
        "a name from the memo": b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93"
        b"\x8c" + bytes([len(command)]) + command + b"\x85R.",
        "extension registry": b"\x80\x02\x82\x01.",
        "attributes of a stand-in": reconstruct + b"}U\x08__code__K\x01s\x86b.",
        "state of a stand-in's class": b"\x80\x02cnumpy\ndtype\n}U\x01xK\x01sb.",
        "attributes of an array": reconstruct + b")R}U\x01xK\x01sb.",
        "calls ndarray": b"\x80\x02cnumpy\nndarray\nK\x03\x85R.",
        # Bytes that numpy would take for addresses of objects, were it told the wrong flags.
        "objects from bytes": array_of(b"O8", b"|", b"AAAAAAAA"),
        "void of objects": array_of(b"V8", b"|", b"AAAAAAAA", flags=b"\x3f"),
        "two types in one": array_of(b"f8,O8", b"<", b"A" * 16),
        "less than its shape": array_of(b"f8", b"<", b"AAAA"),
    }


@pytest.mark.parametrize("name", sorted(attacks(Path("x"))))
def test_a_malicious_pickle_runs_nothing(tmp_path: Path, name: str) -> None:
    sentinel = tmp_path / "it-ran"
    path = tmp_path / "evil.pickle"
    path.write_bytes(attacks(sentinel)[name])
    with pytest.raises(ValueError, match=r"evil\.pickle: cannot be read"):
        load_pickle(path)
    assert not sentinel.exists()


@pytest.mark.parametrize("name", ["in an object array, protocol 4", "a name from the memo"])
def test_the_attacks_are_real(tmp_path: Path, name: str) -> None:
    """The ordinary loader falls for the same bytes: the tests above test something."""
    sentinel = tmp_path / "it-ran"
    pickle.loads(attacks(sentinel)[name])
    assert sentinel.exists()


def test_python_2_wrote_bytes_where_text_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.pickle"
    path.write_bytes(array_of(b"f8", b"<", np.float64(2.5).tobytes()))
    assert load_pickle(path)[0]["x"].tolist() == [2.5]
    assert pickle.loads(path.read_bytes(), encoding="latin1")[0]["x"].tolist() == [2.5]


def test_npz_without_objects(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, S=np.arange(3), imgname=np.array(["a", "bc"]), bad=objects(1, {}))
    found = load_npz(path, ["S", "imgname"])
    assert (found["S"].tolist(), found["imgname"].tolist()) == ([0, 1, 2], ["a", "bc"])
    with pytest.raises(ValueError, match=r"a\.npz: cannot be read .*allow_pickle=False"):
        load_npz(path, ["bad"])
    with pytest.raises(ValueError, match=r"a\.npz: cannot be read .*part"):
        load_npz(path, ["part"])


@pytest.mark.parametrize("version", ["5", "5 packed", "7.3"])
def test_both_versions_of_mat_give_the_same(tmp_path: Path, version: str) -> None:
    cells = [np.arange(12.0).reshape(3, 4) + n for n in range(14)]
    poses = np.arange(24.0).reshape(2, 3, 1, 4)
    path = tmp_path / "annot.mat"
    if version == "7.3":
        write_mat73(path, {"annot2": cells, "poses": poses})
    else:
        content = {"annot2": to_cells(cells), "poses": poses}
        scipy.io.savemat(path, content, do_compression="packed" in version)
    found = load_mat(path, ["annot2", "poses"])
    np.testing.assert_array_equal(found["poses"], poses)
    assert len(found["annot2"]) == 14
    np.testing.assert_array_equal(found["annot2"], cells)
    with pytest.raises(ValueError, match=r"annot\.mat: cannot be read .*annot9"):
        load_mat(path, ["annot9"])


def test_hdf5_by_name_and_what_is_expected(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["pose/2d"] = np.arange(4)
    array = load_h5(path, ["pose/2d"])["pose/2d"]
    assert expect(path, "pose", array, None).tolist() == [0.0, 1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match=r"a\.h5: cannot be read"):
        load_h5(path, ["pose/3d"])
    for value, shape in ((array, (3,)), (array, (4, 1)), (np.full(4, np.nan), (4,)), (array, ())):
        with pytest.raises(ValueError, match=r"a\.h5: pose: found \(4,\), expected finite"):
            expect(path, "pose", value, *shape)
    with pytest.raises(ValueError, match=r"a\.h5: cannot be read"):
        expect(path, "pose", [[1], [2, 3]], 2, None)
