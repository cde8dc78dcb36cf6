"""Reading files without running them: what numpy wrote comes back, what is malicious is refused."""

import builtins
import io
import os
import pickle
import subprocess
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from write_human import to_savemat, write_mat73

from selfpose.data.pickle_scan import refuse_endless
from selfpose.data.safe import load_mat, load_npz, load_pickle, open_h5, read_h5


def same(a: Any, b: Any) -> bool:
    """Equal in type, shape and value, through all containers."""
    if isinstance(a, np.ndarray):
        if not isinstance(b, np.ndarray) or a.shape != b.shape:
            return False
        if a.dtype.kind == "O":
            return b.dtype.kind == "O" and all(map(same, a.ravel(), b.ravel()))
        return a.dtype.newbyteorder("=") == b.dtype and np.array_equal(
            a, b, equal_nan=a.dtype.kind in "fc"
        )
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b or (a != a and b != b))


def objects(*items: Any) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


ARRAYS = st.one_of(
    hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    for dtype in ("<f4", ">f8", "u1", "<i8", "?", "<U3", "S2", "<c8")
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.binary(max_size=4),
    ARRAYS,
    ARRAYS.map(np.asfortranarray),
    st.sampled_from([np.float32(2.5), np.int64(-3), np.bool_(True), np.str_("left")]),
)
CONTENT = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers()), inner, max_size=3),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: objects(*items)),
    ),
    max_leaves=6,
)
FIXTURE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


class TestPickles:
    @FIXTURE
    @given(content=CONTENT, protocol=st.integers(0, 5))
    def test_what_plain_python_pickles_comes_back(
        self, tmp_path: Path, content: Any, protocol: int
    ) -> None:
        path = tmp_path / "a.pickle"
        path.write_bytes(pickle.dumps(content, protocol=protocol))
        assert same(content, load_pickle(path))

    def test_counting_what_is_shared_takes_no_memory_itself(self) -> None:
        doubled = b"\x80\x04K\x01" + b"2\x86\x94" * 40_000 + b"."
        tracemalloc.start()
        try:
            refuse_endless(doubled)  # never hashed, so nothing is refused
            assert tracemalloc.get_traced_memory()[1] < 20e6
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize("protocol", range(5))
    def test_numpy_1_wrote_other_module_names(self, tmp_path: Path, protocol: int) -> None:
        content = {"a": np.arange(6.0).reshape(2, 3), "n": np.float32(3)}
        data = pickle.dumps(content, protocol=min(protocol, 3))  # text names, no lengths
        path = tmp_path / "a.pickle"
        path.write_bytes(data.replace(b"numpy._core.", b"numpy.core."))
        assert b"numpy.core.multiarray" in path.read_bytes()
        assert same(content, load_pickle(path))

    def test_python_2_wrote_bytes_where_text_stands(self, tmp_path: Path) -> None:
        # pickle.dumps({0: {'xyz': numpy.arange(3, dtype='f8')}}, 2) under Python 2.7, by its
        # opcodes: names and raw content are both of the type str there (BINSTRING).
        raw = np.arange(3.0).tobytes()
        data = (
            b"\x80\x02}K\x00}U\x03xyzcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
            b"K\x00\x85U\x01b\x87R(K\x01K\x03\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R"
            b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
            b"U" + bytes([len(raw)]) + raw + b"tbss."
        )
        assert same(pickle.loads(data, encoding="latin1"), {0: {"xyz": np.arange(3.0)}})
        path = tmp_path / "a.pickle"
        path.write_bytes(data)
        assert same({0: {"xyz": np.arange(3.0)}}, load_pickle(path))

    def test_sharing_is_kept_and_a_cycle_is_refused(self, tmp_path: Path) -> None:
        path, shared = tmp_path / "a.pickle", np.zeros(3)
        path.write_bytes(pickle.dumps([shared, shared]))
        first, second = load_pickle(path)
        assert first is second
        cycle: list[Any] = []
        cycle.append(cycle)
        path.write_bytes(pickle.dumps(cycle))
        with pytest.raises(ValueError, match=r"a\.pickle: nested"):
            load_pickle(path)

    def test_doubling_lists_take_no_time(self, tmp_path: Path) -> None:
        deep: Any = [0]
        for _ in range(25):
            deep = [deep, deep]  # 2^25 leaves, if anyone walked them all
        path = tmp_path / "a.pickle"
        path.write_bytes(pickle.dumps(deep))
        assert len(load_pickle(path)) == 2

    @pytest.mark.parametrize("protocol", range(6))
    @pytest.mark.parametrize("place", ["key", "inner key", "set", "dtype", "shape", "value"])
    def test_doubling_tuples_are_told_in_no_time(
        self, tmp_path: Path, place: str, protocol: int
    ) -> None:
        # Built by hand: Python itself would not end hashing the tuple that a dict has as a key.
        double = b"(g0\ng0\ntp0\n"
        deep = b"(I1\ntp0\n" + b"0".join([double] * 64)
        name = b"cnumpy\ndtype\n"
        given = {
            "key": b"(" + deep + b"I1\nd.",
            "inner key": b"((" + deep + b"I2\ntI1\nd.",
            "set": b"\x8f(" + deep + b"\x90.",
            "dtype": name + b"(" + deep + b"tR.",
            "shape": b"cnumpy._core.multiarray\n_reconstruct\n(tR(" + deep
            + name + b"(Vi8\ntRI00\nVa\ntb.",
            "value": deep + b".",
        }  # fmt: skip
        path = tmp_path / "a.pickle"
        path.write_bytes((b"\x80" + bytes([protocol]) if protocol > 1 else b"") + given[place])
        with pytest.raises(ValueError, match=r"a\.pickle: ") as caught:
            load_pickle(path)
        assert len(str(caught.value)) < 400

    def test_a_large_number_that_is_a_key_again_and_again(self, tmp_path: Path) -> None:
        huge = (1 << 80_000).to_bytes(10_001, "little")
        number = b"\x8b" + len(huge).to_bytes(4, "little") + huge
        path = tmp_path / "a.pickle"
        path.write_bytes(b"\x80\x02}(" + number + b"q\x00K\x01" + b"h\x00K\x01" * 50_000 + b"u.")
        with pytest.raises(ValueError, match=r"a\.pickle: .*keys"):
            load_pickle(path)


class Calls:
    """Pickles as the call of a function."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


def attacks(sentinel: Path) -> dict[str, tuple[bytes, str]]:
    """Malicious pickles that would create the sentinel, and the name that the refusal tells."""
    touch = f"open({str(sentinel)!r}, 'w').close()"
    shell = f"touch {sentinel}"
    ndarray = np.zeros(2)
    inner = pickle.dumps(Calls(exec, touch))
    command = shell.encode()
    given: dict[str, tuple[Any, str]] = {
        "system": (Calls(os.system, shell), "system"),
        "exec": (Calls(exec, touch), "exec"),
        "eval": (Calls(eval, touch), "eval"),
        "getattr": (Calls(getattr, "", "join"), "getattr"),
        "popen": (Calls(subprocess.Popen, ["touch", str(sentinel)]), "Popen"),
        "open": (Calls(open, str(sentinel), "w"), "io.open"),
        "import": (Calls(builtins.__import__, "os"), "__import__"),
        "in a dict": ({"a": [ndarray, {"b": Calls(os.system, shell)}]}, "system"),
        "in an object array": (objects(ndarray, Calls(os.system, shell)), "system"),
        "in an array in an array": (objects(objects(Calls(exec, touch))), "exec"),
        "as a key": ({1: 2, (3, 4): Calls(exec, touch)}, "exec"),
        "pickle in a pickle": (Calls(pickle.loads, inner), "loads"),
        "numpy.load": (Calls(np.load, str(sentinel), None, True), "load"),
        "numpy frombuffer": (Calls(np.frombuffer, b"1234"), "frombuffer"),
        "ordered dict": (OrderedDict(a=1), "collections.OrderedDict"),
        "class": (Path("x"), "pathlib"),
        "a set": ({1, 2}, "set"),
    }
    found = {
        f"{name}, protocol {protocol}": (pickle.dumps(value, protocol=protocol), refused)
        for name, (value, refused) in given.items()
        for protocol in (0, 2, 4, 5)
        if not (name == "a set" and protocol < 4)
    }
    found |= {
        "global by hand": (b"cos\nsystem\n(S'" + command + b"'\ntR.", "os.system"),
        "inst": (b"(S'" + command + b"'\nios\nsystem\n.", "os.system"),
        "obj": (b"(cos\nsystem\nS'" + command + b"'\no.", "os.system"),
        "nt.system": (b"cnt\nsystem\n(S'x'\ntR.", "nt.system"),
        "dotted name": (
            b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.",
            "numpy.ndarray.__class__",
        ),
        "numpy's own globals": (b"cnumpy\nload\n.", "numpy.load"),
        "numpy's exec": (b"cnumpy.core.multiarray\nsystem\n.", "numpy.core.multiarray.system"),
        "a module of ours": (
            b"cselfpose.data.unpickling\nunpickle\n.",
            "selfpose.data.unpickling.unpickle",
        ),
        "extension registry": (b"\x80\x02\x82\x01.", ""),
        "persistent id": (b"\x80\x02K\x01Q.", ""),
        "changes what a name means": (
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n}U\x01xK\x01sb.",
            "change what a name means",
        ),
        "attributes of an array": (
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R}U\x01xK\x01sb.",
            "",
        ),
        "calls ndarray": (b"\x80\x02cnumpy\nndarray\nK\x03\x85R.", "numpy.ndarray"),
        "new instance of a name": (b"\x80\x02cnumpy\nndarray\n)\x81.", ""),
        "an encoding": (
            b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.",
            "hex",
        ),
        "structured dtype": (pickle.dumps(np.zeros(2, dtype=[("a", "O")])), "dtype"),
        "dtype of dates": (pickle.dumps(np.zeros(2, dtype="M8[s]")), "dtype"),
        "memo bomb": (b"\x80\x02]r\xff\xff\xff\x7f.", "memo"),
        "two pickles": (pickle.dumps(1) + inner, "more after the end"),
        # Bytes that numpy would take for addresses of objects, were it told the wrong flags.
        "objects from bytes": (
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
            b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R"
            b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08AAAAAAAAtb.",
            "objects",
        ),
        "texts without letters": (
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
            b"(K\x01J\xff\xff\xff\x7f\x85cnumpy\ndtype\nU\x02U0K\x00K\x01\x87R"
            b"(K\x03U\x01<NNNK\x00K\x04K\x00tb\x89U\x00tb.",
            "without letters",
        ),
        "more than its shape": (
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
            b"(K\x01J\xff\xff\xff\x7f\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R"
            b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08AAAAAAAAtb.",
            "does not fill",
        ),
    }
    return found


NAMES = sorted(attacks(Path("x")))


class TestAttacks:
    @pytest.mark.parametrize("name", NAMES)
    def test_a_malicious_pickle_runs_nothing(self, tmp_path: Path, name: str) -> None:
        sentinel = tmp_path / "it-ran"
        data, refused = attacks(sentinel)[name]
        path = tmp_path / "evil.pickle"
        path.write_bytes(data)
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            load_pickle(path)
        assert type(caught.value) is ValueError
        assert str(path) in str(caught.value)
        assert refused in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not sentinel.exists()

    @pytest.mark.parametrize("name", [n for n in NAMES if "protocol 4" in n])
    def test_nor_does_one_in_an_npz(self, tmp_path: Path, name: str) -> None:
        sentinel = tmp_path / "it-ran"
        data, refused = attacks(sentinel)[name]
        member = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            member, {"descr": "|O", "fortran_order": False, "shape": ()}
        )
        path = tmp_path / "evil.npz"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("positions_3d.npy", member.getvalue() + data)
        with pytest.raises(ValueError, match=r"evil\.npz: .*holds Python objects"):
            load_npz(path)
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            load_npz(path, pickled=True)
        assert str(path) in str(caught.value)
        assert refused in str(caught.value)
        assert not sentinel.exists()

    def test_the_attacks_are_real(self, tmp_path: Path) -> None:
        """The ordinary loader falls for the same bytes: the tests above test something."""
        sentinel = tmp_path / "it-ran"
        pickle.loads(attacks(sentinel)["in an object array, protocol 4"][0])
        assert sentinel.exists()


class TestNpz:
    @FIXTURE
    @given(arrays=st.dictionaries(st.sampled_from("abc"), ARRAYS, max_size=3), packed=st.booleans())
    def test_arrays_come_back(self, tmp_path: Path, arrays: Any, packed: bool) -> None:
        path = tmp_path / "a.npz"
        (np.savez_compressed if packed else np.savez)(path, **arrays)
        found = load_npz(path)
        assert found.keys() == arrays.keys()
        assert all(
            np.array_equal(found[k], arrays[k]) or (arrays[k] != arrays[k]).any() for k in found
        )

    def test_objects_only_if_asked_for(self, tmp_path: Path) -> None:
        content = {"S1": {"Walking": np.arange(6, dtype=np.float32).reshape(1, 2, 3)}}
        path = tmp_path / "a.npz"
        np.savez(path, positions_3d=content, plain=np.arange(2))  # as VideoPose3D saves them
        with pytest.raises(ValueError, match="holds Python objects"):
            load_npz(path)
        found = load_npz(path, pickled=True)
        assert same(content, found["positions_3d"].item())
        assert found["plain"].tolist() == [0, 1]

    def npz(self, path: Path, header: bytes | dict[str, Any], body: bytes = b"") -> Path:
        member = io.BytesIO()
        if isinstance(header, dict):
            np.lib.format.write_array_header_1_0(member, header)
        else:
            member.write(header)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.npy", member.getvalue() + body)
        return path

    @pytest.mark.parametrize(
        ("shape", "body", "word"),
        [
            ((10**12,), b"", "limit"),
            ((10**6,), b"abc", "at most"),
            ((3,), bytes(8), "broken|at most"),
            ((1,), bytes(80), "more than its shape"),
            ((-1,), bytes(8), "shape"),
        ],
    )
    def test_a_shape_that_the_file_does_not_hold(
        self, tmp_path: Path, shape: tuple[int, ...], body: bytes, word: str
    ) -> None:
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        path = self.npz(tmp_path / "a.npz", header, body)
        with pytest.raises(ValueError, match=rf"a\.npz: .*({word})"):
            load_npz(path)

    def test_a_zip_bomb_meets_the_limit(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npz"
        np.savez_compressed(path, a=np.zeros(10**6))
        assert path.stat().st_size < 20_000
        assert len(load_npz(path)["a"]) == 10**6
        with pytest.raises(ValueError, match=r"a\.npz: .*more than the limit of 1,000,000"):
            load_npz(path, limit=10**6)

    @pytest.mark.parametrize(
        ("header", "word"),
        [
            (b"", "broken|EOF"),
            (b"\x93NUMPY\x01\x00", "EOF|broken"),
            (b"\x93NUMPY\x09\x00" + bytes(200), "version|broken"),
            ({"descr": [("a", "<f8")], "fortran_order": False, "shape": (0,)}, "structured"),
        ],
    )
    def test_broken_headers(self, tmp_path: Path, header: Any, word: str) -> None:
        path = self.npz(tmp_path / "a.npz", header)
        with pytest.raises(ValueError, match=rf"a\.npz: .*({word})"):
            load_npz(path)

    def test_a_member_that_is_no_array(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npz"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "x")
        with pytest.raises(ValueError, match=r"a\.npz: holds 'readme.txt'"):
            load_npz(path)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        for load in (load_npz, load_pickle, load_mat):
            with pytest.raises(FileNotFoundError, match=r"nowhere\.x: no such file"):
                load(tmp_path / "nowhere.x")


class TestMat:
    CONTENT: ClassVar[dict[str, Any]] = {
        "annot2": [np.arange(12.0).reshape(3, 4) + n for n in range(14)],
        "poses": np.arange(24.0).reshape(2, 3, 1, 4),
        "one": np.array([[7.0]]),
        "info": {"name": "S1", "sizes": np.array([[1.0, 2.0]]), "deep": {"cells": ["a", "bc"]}},
        "flags": np.array([[True], [False]]),
    }

    @pytest.mark.parametrize("version", ["5", "5 packed", "7.3"])
    def test_both_versions_give_the_same(self, tmp_path: Path, version: str) -> None:
        path = tmp_path / "annot.mat"
        if version == "7.3":
            write_mat73(path, self.CONTENT)
        else:
            scipy.io.savemat(path, to_savemat(self.CONTENT), do_compression="packed" in version)
        found = load_mat(path)
        flags = found.pop("flags")
        assert np.array_equal(flags, self.CONTENT["flags"])
        assert same({k: v for k, v in self.CONTENT.items() if k != "flags"}, found)
        assert list(load_mat(path, names=("poses",))) == ["poses"]
        with pytest.raises(ValueError, match=r"annot\.mat: has no variable 'annot9'"):
            load_mat(path, names=("annot9",))

    @FIXTURE
    @given(
        content=st.recursive(
            st.one_of(
                *(
                    hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=4, max_side=3))
                    for dtype in ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "c16")
                ),
                st.text("abcé€", min_size=1, max_size=5),
            ),
            lambda inner: st.one_of(
                st.lists(inner, min_size=1, max_size=3),
                st.dictionaries(st.text("xyz", min_size=1), inner, min_size=1, max_size=3),
            ),
            max_leaves=5,
        ),
        packed=st.booleans(),
    )
    def test_whatever_scipy_writes_comes_back(
        self, tmp_path: Path, content: Any, packed: bool
    ) -> None:
        path = tmp_path / "a.mat"
        scipy.io.savemat(path, {"a": to_savemat(content)}, do_compression=packed)
        assert same(content, load_mat(path)["a"])

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_numbers_stored_small_as_matlab_does(self, tmp_path: Path, order: str) -> None:
        """Doubles that are whole and small are stored as bytes, on either kind of machine."""

        def element(kind: int, content: bytes) -> bytes:
            head = np.array([kind, len(content)], dtype=f"{order}u4").tobytes()
            return head + content + bytes(-len(content) % 8)

        def words(*values: int) -> bytes:
            return np.array(values, dtype=f"{order}i4").tobytes()

        body = b"".join(
            [
                element(6, words(6, 0)),  # class double
                element(5, words(2, 3)),
                element(1, b"poses"),
                element(2, bytes([1, 2, 3, 4, 5, 6])),  # stored as unsigned bytes
            ]
        )
        version = np.array([0x0100], dtype=f"{order}u2").tobytes()
        header = b"MATLAB 5.0 MAT-file".ljust(124) + version + {"<": b"IM", ">": b"MI"}[order]
        path = tmp_path / "a.mat"
        path.write_bytes(header + element(14, body))
        expected = np.array([[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]])
        assert same(expected, scipy.io.loadmat(path)["poses"].astype("f8"))
        assert same(expected, load_mat(path)["poses"])

    def test_struct_arrays_and_lines_of_text(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mat"
        people = np.array([(1.0, "a"), (2.0, "bc")], dtype=[("n", "O"), ("name", "O")])
        scipy.io.savemat(path, {"people": people, "lines": np.array(["ab", "cd"])})
        found = load_mat(path)
        assert [p["name"] for p in found["people"]] == ["a", "bc"]
        assert [p["n"].item() for p in found["people"]] == [1.0, 2.0]
        assert found["lines"] == "ab\ncd"

    @pytest.mark.parametrize(
        ("value", "word"),
        [(scipy.sparse.eye(3).tocsc(), "sparse"), (np.array([], dtype="f8"), "")],
    )
    def test_what_is_not_read(self, tmp_path: Path, value: Any, word: str) -> None:
        path = tmp_path / "a.mat"
        scipy.io.savemat(path, {"a": value})
        if word:
            with pytest.raises(ValueError, match=rf"a\.mat: a is a {word} array: only numbers"):
                load_mat(path)
        else:
            assert load_mat(path)["a"].size == 0

    def test_declared_sizes_are_checked(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mat"
        scipy.io.savemat(path, {"a": np.zeros((100, 100))})
        with pytest.raises(ValueError, match=r"a\.mat: .*limit"):
            load_mat(path, limit=100)
        with h5py.File(path, "w") as file:
            file.create_dataset("a", shape=(10**6, 10**6), dtype="f8", chunks=(100, 100))
        with pytest.raises(ValueError, match=r"a\.mat: .*limit"):
            load_mat(path)
        with h5py.File(path, "w") as file:
            file.create_dataset("a", shape=(10**4, 10**3), dtype="f8", chunks=(100, 100))
        with pytest.raises(ValueError, match=r"a\.mat: .*at most 0"):
            load_mat(path)

    def test_links_into_other_files_are_refused(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret.h5"
        with h5py.File(secret, "w") as file:
            file["a"] = np.arange(3)
        path = tmp_path / "a.mat"
        with h5py.File(path, "w") as file:
            file["a"] = h5py.ExternalLink(str(secret), "a")
        with pytest.raises(ValueError, match=r"a\.mat: 'a' points into another file"):
            load_mat(path)
        layout = h5py.VirtualLayout(shape=(3,), dtype="i8")
        layout[:] = h5py.VirtualSource(str(secret), "a", shape=(3,))
        with h5py.File(path, "w") as file:
            file.create_virtual_dataset("a", layout)
        with pytest.raises(ValueError, match=r"a\.mat: 'a' takes its content from another file"):
            load_mat(path)
        with h5py.File(path, "w") as file:
            file.create_dataset("a", (3,), "i8", external=[(str(secret), 0, 24)])
        with pytest.raises(ValueError, match=r"a\.mat: 'a' takes its content from another file"):
            load_mat(path)

    def test_a_cell_that_holds_itself(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mat"
        with h5py.File(path, "w") as file:
            cell = file.create_dataset("a", (1, 1), dtype=h5py.ref_dtype)
            cell[0, 0] = cell.ref
        with pytest.raises(ValueError, match=r"a\.mat: .*nested"):
            load_mat(path)

    @pytest.mark.parametrize("closed", [False, True])
    def test_cells_that_double_are_read_once(self, tmp_path: Path, closed: bool) -> None:
        path = tmp_path / "a.mat"
        with h5py.File(path, "w") as file:
            last = first = file.create_dataset("#refs#/0", (1, 2), dtype=h5py.ref_dtype)
            number = file.create_dataset("#refs#/n", data=np.ones((1, 1)))
            first[0, 0] = first[0, 1] = number.ref
            for k in range(1, 28):
                cell = file.create_dataset(f"#refs#/{k}", (1, 2), dtype=h5py.ref_dtype)
                cell[0, 0] = cell[0, 1] = last.ref
                last = cell
            file["a"] = last
            if closed:  # the innermost holds the outermost, twice
                first[0, 0] = first[0, 1] = last.ref
        if closed:
            with pytest.raises(ValueError, match=r"a\.mat: .*nested within itself"):
                load_mat(path)
            return
        item = load_mat(path)["a"]
        for _ in range(28):
            assert item[0] is item[1]
            item = item[0]
        assert item == 1

    def test_structs_linked_into_each_other(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mat"
        with h5py.File(path, "w") as file:
            for k in range(27, -1, -1):
                group = file.create_group(f"g{k}")
                for field in ("left", "right"):
                    group[field] = file[f"g{k + 1}"] if k < 27 else np.ones((1, 1))
        found = load_mat(path, names=("g0",))["g0"]
        assert found["left"] is found["right"]

    def test_hdf5_read_by_name(self, tmp_path: Path) -> None:
        path = tmp_path / "a.h5"
        with h5py.File(path, "w") as file:
            file["pose/2d"] = np.arange(4.0)
        with open_h5(path) as file:
            assert read_h5(file, "pose/2d").tolist() == [0, 1, 2, 3]
        for name, word in (
            ("pose", "is a group"),
            ("pose/3d", "no dataset"),
            ("x/y", "no dataset"),
        ):
            with pytest.raises(ValueError, match=rf"a\.h5: .*{word}"), open_h5(path) as file:
                read_h5(file, name)


def originals(folder: Path) -> dict[str, Path]:
    """One healthy file of each kind."""
    made = {k: folder / f"good.{k}" for k in ("pickle", "npz", "objects.npz", "mat", "mat73")}
    content = {"a": np.arange(30.0), "b": ["x", 1, None]}
    made["pickle"].write_bytes(pickle.dumps(content, protocol=2))
    np.savez_compressed(made["npz"], a=np.arange(300.0), b=np.array(["x", "yz"]))
    np.savez(made["objects.npz"], a=content)
    scipy.io.savemat(made["mat"], to_savemat(TestMat.CONTENT))
    write_mat73(made["mat73"], TestMat.CONTENT)
    return made


@settings(FIXTURE, max_examples=60)
@given(
    kind=st.sampled_from(["pickle", "npz", "objects.npz", "mat", "mat73"]),
    cut=st.none() | st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=4),
)
def test_a_mangled_file_is_read_or_refused_in_one_line(
    tmp_path: Path, kind: str, cut: float | None, flips: list[tuple[float, int]]
) -> None:
    data = bytearray(originals(tmp_path)[kind].read_bytes())
    for where, what in flips:
        data[int(where * (len(data) - 1))] ^= what
    if cut is not None:
        del data[int(cut * len(data)) :]
    path = tmp_path / f"bad.{kind}"
    path.write_bytes(bytes(data))
    limit = 10**8
    caught: Exception | None = None
    try:
        if kind == "pickle":
            load_pickle(path, limit=limit)
        elif kind.endswith("npz"):
            load_npz(path, pickled=True, limit=limit)
        else:
            load_mat(path, limit=limit)
    except Exception as error:  # whichever it is, the next lines say which it must be
        caught = error
    assert caught is None or type(caught) is ValueError
    assert caught is None or str(caught).startswith(str(path))
    assert "\n" not in str(caught)
