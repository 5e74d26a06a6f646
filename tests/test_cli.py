"""The command line: what it prints, and that a file which cannot be read is one line of text and exit status 2."""

import bz2
import gzip
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from jaxlmm.cli import main
from tests.reference.loader import case, data

MODEL = "Reaction ~ Days + (Days | Subject)"
TEXT = data("sleepstudy").to_csv(index=False).encode()


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("sleepstudy.csv", TEXT)


SOUND: dict[str, Callable[[Path], object]] = {
    "a.csv": lambda path: path.write_bytes(TEXT),
    "a.TSV": lambda path: path.write_bytes(TEXT.replace(b",", b"\t")),
    "a.csv.gz": lambda path: path.write_bytes(gzip.compress(TEXT)),
    "a.csv.xz": lambda path: path.write_bytes(lzma.compress(TEXT)),
    "a.b.csv.bz2": lambda path: path.write_bytes(bz2.compress(TEXT)),
    "a.csv.zip": zipped,
}


@pytest.mark.parametrize("name", SOUND)
def test_files_that_can_be_read(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    SOUND[name](tmp_path / name)
    assert main(["fit", MODEL, "--data", str(tmp_path / name), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["objective"] == pytest.approx(case("sleep_max")["objective"], abs=1e-7)


PACKED = gzip.compress(TEXT)

# file, its content (None: no such file), words of the message
DAMAGED = [
    ("cut.csv.gz", PACKED[: len(PACKED) // 2], "cannot be read"),
    ("corrupt.csv.gz", PACKED[:30] + bytes(30) + PACKED[60:], "cannot be read"),
    ("text.csv.gz", b"hello", "cannot be read"),
    ("text.csv.zip", b"hello", "cannot be read"),
    ("text.csv.xz", b"hello", "cannot be read"),
    ("cut.csv.bz2", bz2.compress(TEXT)[:50], "cannot be read"),
    ("text.csv.tar", b"hello", "cannot be read"),
    ("text.csv.zst", b"hello", "zst"),
    ("empty.csv", b"", "cannot be read"),
    ("bytes.csv", b"\xff\xfe\xfa,\n", "cannot be read"),
    ("text.parquet", b"hello", "arquet"),
    ("nowhere.csv", None, "no such file"),
    ("text.docx", b"hello", ".parquet"),
    ("nowhere", None, "sleepstudy"),
]


@pytest.mark.parametrize(("name", "content", "words"), DAMAGED, ids=[d[0] for d in DAMAGED])
def test_files_that_cannot_be_read(
    name: str, content: bytes | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["fit", MODEL, "--data", str(tmp_path / name)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("jaxlmm: --data") and words in shown.err
    assert name in shown.err or name.endswith("parquet")
    assert "pyarrow" not in shown.err or name.endswith("parquet")
    assert "Traceback" not in shown.err
