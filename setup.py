"""Build the compiled floor: every `ext/**/*.pyx` is one extension, found by its path.

`PIPELINE_BUILD` chooses the profile: `fast` (default), `checked` (bounds checks, C assertions
and crash points) or `sanitize` (checked, under ASan and UBSan). `PIPELINE_JOBS` sets the number
of parallel compilations.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.resolve()
EXT = ROOT / "ext"

try:
    import numpy
    from Cython.Build import cythonize
    from setuptools import Extension, setup
except ModuleNotFoundError as missing:
    wanted = "pip install setuptools cython numpy"
    sys.exit(f"setup.py: {missing.name} is missing; install it with: {wanted}")


def _load(name: str) -> Any:
    """Return a module of `ext`, which cannot be imported as a package before it is built."""
    spec = importlib.util.spec_from_file_location(name, EXT / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PROFILES: dict[str, tuple[list[str], list[str], bool]] = {
    # name: (compile arguments, link arguments, Cython's run-time checks)
    "fast": (["-O3"], [], False),
    "checked": (["-O0", "-g", "-DPIPELINE_CHECKED"], [], True),
    "sanitize": (
        ["-O1", "-g", "-DPIPELINE_CHECKED", "-fsanitize=address,undefined",
         "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"],
        ["-fsanitize=address,undefined"],
        True,
    ),
}  # fmt: skip

# Prices must be bit-identical to integer / divisor on every target, whatever CFLAGS says.
COMMON_ARGUMENTS = ["-std=gnu11", "-fno-fast-math", "-ffp-contract=off", "-fno-strict-aliasing",
                    "-Wall", "-Wextra", "-Wno-unused-function", "-Wno-unused-parameter",
                    "-Wno-cast-function-type", "-Wno-missing-field-initializers",
                    "-Wno-sign-compare"]  # fmt: skip


def _profile() -> tuple[str, tuple[list[str], list[str], bool]]:
    name = os.environ.get("PIPELINE_BUILD", "fast")
    if name not in PROFILES:
        sys.exit(f"PIPELINE_BUILD={name}: expected one of {', '.join(PROFILES)}")
    return name, PROFILES[name]


def _parallel() -> int:
    jobs = os.environ.get("PIPELINE_JOBS", str(os.cpu_count() or 1))
    if not jobs.isdecimal() or int(jobs) < 1:
        sys.exit(f"PIPELINE_JOBS={jobs}: expected a number of compilations, 1 or more")
    return int(jobs)


def _extensions() -> tuple[list[Extension], str, bool]:
    name, (compile_arguments, link_arguments, checks) = _profile()
    headers = sorted(str(p.relative_to(ROOT)) for p in EXT.rglob("*.h"))
    every = sorted(str(p.relative_to(ROOT)) for p in EXT.rglob("*.p[yx][xd]"))
    sources = f"{_load('sources').digest(EXT):#x}ULL"
    extensions = [
        Extension(
            ".".join(source.relative_to(ROOT).with_suffix("").parts),
            [str(source.relative_to(ROOT))],
            include_dirs=["ext", numpy.get_include()],
            # The layout says of which sources all of them were made.
            depends=[*headers, *every] if source.stem == "layout" else headers,
            define_macros=[("EXT_SOURCES", sources)] if source.stem == "layout" else [],
            extra_compile_args=[*COMMON_ARGUMENTS, *compile_arguments],
            extra_link_args=link_arguments,
        )
        for source in sorted(EXT.rglob("*.pyx"))
    ]
    return extensions, name, checks


_load("generate_layout").generate(EXT)
os.chdir(ROOT)
_jobs = _parallel()
_found, _name, _checks = _extensions()

setup(
    ext_modules=cythonize(
        _found,
        build_dir=f"build/cython-{_name}",
        nthreads=_jobs if sys.platform == "linux" else 0,
        compiler_directives={
            "language_level": "3",
            "boundscheck": _checks,
            "wraparound": _checks,
            "cdivision": not _checks,
            "initializedcheck": _checks,
            "embedsignature": True,
        },
    ),
    options={"build_ext": {"parallel": _jobs}},
)
