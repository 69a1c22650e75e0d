"""Build and run the C proofs of the shared-memory headers, in a temporary directory.

A proof is one file in `tests/ext/native/` that includes the headers of `ext/` as they are. A
*mutant* is the same proof over a copy of the headers with one line changed: it shows that the
proof can fail. Proofs print one JSON line when all held, and end with 1 and a sentence if not.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCES: Final = Path(__file__).resolve().parent / "native"
HEADERS: Final = ROOT / "ext"

COMMON: Final = (
    "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wno-unused-function",
    "-Wno-missing-field-initializers", "-pthread",
)  # fmt: skip
PROFILES: Final[dict[str, tuple[str, ...]]] = {
    "processes": (),
    "slow-copy": ("-DPROOF_SLOW_COPY",),
    "crash": ("-DPIPELINE_CHECKED",),
    "race": ("-DPROOF_THREADS", "-DPIPELINE_RACE", "-fsanitize=thread", "-g"),
    "plain-words": ("-DPROOF_THREADS", "-fsanitize=thread", "-g"),
    "sanitize": ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g"),
    "library": ("-shared", "-fPIC"),
}
ENVIRONMENT: Final = {
    "TSAN_OPTIONS": "halt_on_error=1 exitcode=66",
    "ASAN_OPTIONS": "exitcode=67",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}
RACE_REPORTED: Final = 66
FIND_OUT_S: Final = 40.0


class Mutation(NamedTuple):
    """One change to a header; `old` must occur there exactly once, so that it cannot go stale."""

    header: str
    old: str
    new: str


class Outcome(NamedTuple):
    """How a proof ended: its exit code, the numbers it printed, and what it complained about."""

    code: int
    numbers: dict[str, int]
    complaint: str


@functools.cache
def _compiler() -> str:
    if sys.platform != "linux":
        pytest.skip("the C proofs need Linux (futex, process death signals)")
    for name in ("gcc", "cc", "clang"):
        if path := shutil.which(name):
            return path
    pytest.skip("no C compiler: install gcc to run the proofs of the shared-memory headers")


@functools.cache
def _directory() -> Path:
    holder = tempfile.TemporaryDirectory(prefix="native-proofs-")
    _keep.append(holder)  # removed when the interpreter ends
    return Path(holder.name)


_keep: list[tempfile.TemporaryDirectory[str]] = []


def _compile(source: Path, target: Path, headers: Path, flags: tuple[str, ...]) -> str:
    """Return what the compiler had to say; the target exists only if it was content."""
    command = [_compiler(), *COMMON, *flags, f"-I{headers}", str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    return "" if done.returncode == 0 else done.stderr


@functools.cache
def _prefix(profile: str) -> tuple[str, ...]:
    """How a program of this profile is started here; skip where its sanitizer does not work."""
    flags = tuple(flag for flag in PROFILES[profile] if flag.startswith("-fsanitize"))
    if not flags:
        return ()
    probe = _directory() / f"probe-{profile}"
    source = probe.with_suffix(".c")
    source.write_text("int main(void) { return 0; }\n", encoding="ascii")
    if complaint := _compile(source, probe, HEADERS, flags):
        pytest.skip(f"no {flags[0]}: {complaint.splitlines()[-1]}")
    # ThreadSanitizer refuses address spaces that are randomised more than it expects.
    for prefix in ((), ("setarch", "-R")):
        if prefix and not shutil.which(prefix[0]):
            continue
        if subprocess.run([*prefix, str(probe)], capture_output=True, check=False).returncode == 0:
            return prefix
    pytest.skip(f"programs built with {flags[0]} do not start here")


def _mutated_headers(name: str, mutation: Mutation) -> Path:
    headers = _directory() / f"{name}-headers"
    headers.mkdir(exist_ok=True)
    for header in HEADERS.glob("*.h"):
        shutil.copy(header, headers)
    changed = headers / mutation.header
    text = changed.read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1, f"{mutation.header}: {mutation.old!r} is not there once"
    changed.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    return headers


@functools.cache
def build(name: str, profile: str = "processes", mutation: Mutation | None = None) -> Path:
    """Compile `native/<name>.c` once per session and return the program (or shared library)."""
    _prefix(profile)
    target = _directory() / f"{name}-{profile}-{abs(hash(mutation)) if mutation else 'true'}"
    headers = _mutated_headers(target.name, mutation) if mutation else HEADERS
    complaint = _compile(SOURCES / f"{name}.c", target, headers, PROFILES[profile])
    assert not complaint, complaint
    return target


def run(
    name: str,
    options: Mapping[str, int],
    *,
    profile: str = "processes",
    mutation: Mutation | None = None,
) -> Outcome:
    """Run a proof with `options` and return its outcome; a hang ends at its own deadline."""
    program = build(name, profile, mutation)
    with tempfile.TemporaryDirectory(dir=_directory()) as place:
        words = [f"{key}={value}" for key, value in options.items()]
        done = subprocess.run(
            [*_prefix(profile), str(program), f"path={place}/segment", *words],
            capture_output=True,
            text=True,
            timeout=options.get("deadline", 100) + 20,
            env=os.environ | ENVIRONMENT,
            check=False,
        )
    numbers = json.loads(done.stdout) if done.returncode == 0 else {}
    return Outcome(done.returncode, numbers, done.stderr)


def prove(name: str, options: Mapping[str, int], *, profile: str = "processes") -> dict[str, int]:
    """Run a proof that must hold and return its numbers."""
    print(f"{name} ({profile}): {dict(options)}")
    outcome = run(name, options, profile=profile)
    assert outcome.code == 0, f"exit {outcome.code}: {outcome.complaint}"
    return outcome.numbers


def find_out(name: str, options: Mapping[str, int], mutation: Mutation) -> str:
    """Run a mutant with slow copies, seed by seed, until its proof complains; return what it says.

    Fails the test when the proof saw nothing for `FIND_OUT_S` seconds.
    """
    deadline = time.monotonic() + FIND_OUT_S
    for seed in itertools.count(1):
        outcome = run(name, {**options, "seed": seed}, profile="slow-copy", mutation=mutation)
        if outcome.code != 0:
            return outcome.complaint
        if time.monotonic() > deadline:
            break
    pytest.fail(f"{name} does not see that {mutation.header} has {mutation.new!r}")
