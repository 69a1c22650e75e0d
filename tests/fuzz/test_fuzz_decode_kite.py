"""Mutated Kite frames under ASan and UBSan: no report, and good frames between still decode."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.brokers import kite_frames as make

ROOT = Path(__file__).parents[2]
SEED = 20_240_613
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-function")
BOTH = "address,undefined"
CORPUS = (
    make.frame(make.full(0x101), make.quote(0x201), make.ltp(0x301)),
    make.frame(make.index(0x101), make.index(time=5), b"odd", count=9),
    make.frame(*[make.ltp(0x101)] * 300, tail=b"more"),
    b"\x00",
)
#: Each beside the next: newer, older, of equal order, of another mode.
SHARED = tuple(
    make.frame(make.full(0x101, volume=volume, time=time, trade_time=time, oi=oi))
    for volume, time, oi in ((5, 9, 0), (7, 9, 0), (7, 9, 1), (9, 8, 1), (9, 9, 1))
) + (
    make.frame(make.quote(0x101, volume=9), make.ltp(0x101)),
    make.frame(make.index(0x101, time=9), make.index(0x101)),
    make.frame(make.full(0x101, volume=6), make.ltp(0x101, last=1)),
)


def build(
    compiler: str, source: str, binary: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    line = [compiler, "-std=gnu11", "-g", "-O1", "-ffp-contract=off", *WARNINGS, *options]
    line += ["-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
    line += [
        "-I",
        str(ROOT / "ext"),
        "-o",
        str(binary),
        str(Path(__file__).with_name(source)),
        "-lm",
    ]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def run(line: list[str | Path], timeout_s: float) -> str:
    finished = subprocess.run(line, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert finished.returncode == 0, finished.stderr[-4000:]
    return finished.stdout + finished.stderr


@pytest.fixture(scope="module")
def mutator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: install one to mutate frames (apt-get install gcc)")
    binary = tmp_path_factory.mktemp("mutate") / "mutate_decode_kite"
    built = build(compiler, "mutate_decode_kite.c", binary, f"-fsanitize={BOTH}")
    assert built.returncode == 0, built.stderr
    return binary


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("no clang: install it to fuzz (apt-get install clang)")
    folder = tmp_path_factory.mktemp("fuzz")
    binary = folder / "fuzz_decode_kite"
    built = build(clang, "fuzz_decode_kite.c", binary, f"-fsanitize=fuzzer,{BOTH}")
    if built.returncode != 0 and "libclang_rt" in built.stderr:
        pytest.skip("this clang has no libFuzzer (apt-get install libclang-rt-dev)")
    assert built.returncode == 0, built.stderr
    (folder / "corpus").mkdir()
    for number, frame in enumerate(CORPUS):
        for flags in range(8):
            start = bytes((7, flags, 0, 1, 0, 188))
            (folder / "corpus" / f"{number}-{flags}").write_bytes(start + frame)
    for number, (one, other) in enumerate(zip(SHARED, SHARED[1:], strict=False)):
        start = bytes((7, 9, 0, 0)) + len(one).to_bytes(2, "big")
        (folder / "corpus" / f"shared-{number}").write_bytes(start + one + other)
    return binary


def mutate(mutator: Path, *, frames: int, seed: int, timeout_s: float) -> None:
    print(f"seed {seed}")
    text = run([mutator, str(seed), str(frames)], timeout_s)
    counts = {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", text)}
    assert counts["good"] == frames
    assert counts["done"] + counts["short"] + counts["trailing"] + counts["heartbeat"] == frames
    rare = {name: count for name, count in counts.items() if count < frames / 200}
    assert rare == {}, "mutations no longer reach these"


def fuzz(fuzzer: Path, *, runs: int, timeout_s: float) -> None:
    options = [f"-runs={runs}", f"-seed={SEED}", "-max_len=3000"]
    text = run([fuzzer, *options, f"-artifact_prefix={fuzzer.parent}/", fuzzer.parent / "corpus"],
               timeout_s)  # fmt: skip
    assert f"Done {runs} runs" in text


def test_mutated_frames(mutator: Path) -> None:
    mutate(mutator, frames=50_000, seed=SEED, timeout_s=60)


def test_any_bytes(fuzzer: Path) -> None:
    fuzz(fuzzer, runs=30_000, timeout_s=100)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_two_million_mutated_frames(mutator: Path) -> None:
    mutate(mutator, frames=2_000_000, seed=SEED + 1, timeout_s=880)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_two_million_inputs(fuzzer: Path) -> None:
    fuzz(fuzzer, runs=2_000_000, timeout_s=880)
