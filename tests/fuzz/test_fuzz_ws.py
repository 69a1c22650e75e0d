"""Fuzz the frame parser under ASan and UBSan, with clang's libFuzzer."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.ext.frames import (
    BINARY,
    CONTINUATION,
    PING,
    TEXT,
    close_frame,
    fragmented,
    server_frame,
)

ROOT = Path(__file__).parents[2]
SEED = 20_240_105

CORPUS = {
    "binary": server_frame(BINARY, bytes(range(40))) * 3,
    "text": server_frame(TEXT, "grün €𝄞".encode()),
    "fragments": fragmented(TEXT, b"\xe2\x82", b"\xac", b"x") + server_frame(PING, b"p"),
    "interleaved": server_frame(BINARY, b"a", final=False)
    + server_frame(PING)
    + server_frame(CONTINUATION, b"b"),
    "long": server_frame(BINARY, b"z" * 290),
    "too long": server_frame(BINARY, b"z" * 310),
    "wide": b"\x82\x7f" + (1 << 40).to_bytes(8, "big"),
    "close": close_frame(1000, b"bye"),
    "bad close": close_frame(1005),
}


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("no clang: install it to fuzz (apt-get install clang)")
    folder = tmp_path_factory.mktemp("fuzz")
    binary = folder / "fuzz_ws"
    built = subprocess.run(
        [
            *(clang, "-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Wno-unused-function"),
            *("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=undefined"),
            *("-I", ROOT / "ext", "-o", binary, Path(__file__).with_name("fuzz_ws.c")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode != 0 and "libclang_rt" in built.stderr:
        pytest.skip("this clang has no libFuzzer (apt-get install libclang-rt-dev)")
    assert built.returncode == 0, built.stderr
    corpus = folder / "corpus"
    corpus.mkdir()
    for index, data in enumerate(CORPUS.values()):
        (corpus / str(index)).write_bytes(b"\x07" + data)
    return binary


def fuzz(fuzzer: Path, runs: int, timeout_s: int) -> None:
    finished = subprocess.run(
        [fuzzer, fuzzer.parent / "corpus", f"-runs={runs}", f"-seed={SEED}", "-max_len=2000"],
        cwd=fuzzer.parent,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-4000:]
    assert f"Done {runs} runs" in finished.stderr


def test_the_parser_survives_any_bytes(fuzzer: Path) -> None:
    fuzz(fuzzer, runs=60_000, timeout_s=100)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_the_parser_survives_millions_of_inputs(fuzzer: Path) -> None:
    fuzz(fuzzer, runs=2_000_000, timeout_s=880)
