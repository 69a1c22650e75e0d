"""Checks of the software: Python, packages, compiled modules, certificates, zone. Floor 6."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
import ssl
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pipeline.cli.doctor.finding import Finding, Level, Machine, install

PYTHON_MIN: Final = (3, 11)
PYTHON_MAX: Final = (3, 13)

#: {distribution: least version}, as pyproject.toml asks for them.
PACKAGES: Final = {
    "numpy": "2.1",
    "websocket-client": "1.8",
    "psutil": "6",
    "msgspec": "0.19",
    "typer": "0.15",
    "rich": "13",
}
EXTRAS: Final = {
    "websockets": ("14", "simulated exchange"),
    "kiteconnect": ("5", "quotes or instrument list from the broker, no token login"),
}

_ROOT: Final = Path(__file__).parents[3]


def check_python(machine: Machine) -> Iterator[Finding]:
    """The interpreter's version and build."""
    version = sys.version.split()[0]
    if not PYTHON_MIN <= sys.version_info[:2] <= PYTHON_MAX:
        mend = f"{install('python3.12 python3.12-venv', 'python3.12')}; rm -rf .venv; ./demo"
        yield Finding(Level.BAD, "Python", f"{version}; supported are 3.11 to 3.13", mend)
    elif sysconfig.get_config_var("Py_GIL_DISABLED"):
        text = f"{version}, free-threaded, which is not supported"
        yield Finding(Level.BAD, "Python", text, "use the ordinary build of that version")
    else:
        yield Finding(Level.OK, "Python", f"{version}, {sys.executable}")


def check_packages(machine: Machine) -> Iterator[Finding]:
    """Every package that running needs, and its version."""
    good = []
    for name, least in PACKAGES.items():
        found = installed(name)
        if found is not None and numbers(found) >= numbers(least):
            good.append(f"{name} {found}")
            continue
        text = f"{name} is missing" if found is None else f"{name} {found}, {least} is wanted"
        mend = f"{sys.executable} -m pip install '{name}>={least}'"
        yield Finding(Level.BAD, "packages", text, mend)
    for name, (least, what) in EXTRAS.items():
        found = installed(name)
        if found is None or numbers(found) < numbers(least):
            mend = f"{sys.executable} -m pip install '{name}>={least}'"
            yield Finding(Level.WARN, "packages", f"{name} is missing: no {what}", mend)
    if good:
        yield Finding(Level.OK, "packages", ", ".join(good))


def installed(name: str) -> str | None:
    """Return a distribution's version; None when it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def numbers(version: str) -> tuple[int, ...]:
    """Return a version's leading numbers, for comparing."""
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])


def check_build(machine: Machine) -> Iterator[Finding]:
    """The compiled modules: there, of this interpreter, made of the sources beside them."""
    folder = _ROOT / "ext"
    sources = sorted(folder.rglob("*.pyx"))
    suffix = str(sysconfig.get_config_var("EXT_SUFFIX"))
    targets = [source.with_suffix("").with_name(source.stem + suffix) for source in sources]
    missing = [target.name.removesuffix(suffix) for target in targets if not target.exists()]
    mend = f"{sys.executable} setup.py build_ext --inplace"
    if sources and missing:
        text = f"not built for this Python: {', '.join(missing)}"
        yield Finding(Level.BAD, "build", text, mend)
        return
    try:
        layout = importlib.import_module("pipeline.core.compiled").layout
    except ImportError as error:
        yield Finding(Level.BAD, "build", f"cannot be loaded: {error}", mend)
        return
    text = f"profile {build_profile()}, layout {layout.layout_version} ({layout.fingerprint:016x})"
    yield Finding(Level.OK, "build", text)


def build_profile() -> str:
    """Return which profile the loaded modules were built with, by where they lie."""
    spec = importlib.util.find_spec("ext.layout")
    folder = Path(spec.origin).parents[1] if spec and spec.origin else _ROOT
    return folder.name if folder.parent.name == "build" else "fast"


def check_certificates(machine: Machine) -> Iterator[Finding]:
    """Whether TLS has certificates to trust."""
    paths = ssl.get_default_verify_paths()
    folder = Path(paths.capath) if paths.capath else None
    if paths.cafile or (folder is not None and any(folder.iterdir())):
        yield Finding(Level.OK, "certificates", str(paths.cafile or paths.capath))
        return
    text = f"none in {paths.openssl_cafile} or {paths.openssl_capath}: no broker can be trusted"
    mend = install("ca-certificates", "ca-certificates")
    yield Finding(Level.BAD, "certificates", text, f"{mend}; or name a file: [[account]] ca_file")


def check_zone(machine: Machine) -> Iterator[Finding]:
    """Which time zone the host has: only what `to_kite_dicts` gives depends on it."""
    offset = time.strftime("%z")
    text = f"{time.tzname[0]} ({offset})"
    if offset != "+0530":
        text += (
            '; to_kite_dicts gives times of this zone, as KiteTicker: tz="Asia/Kolkata" does not'
        )
    yield Finding(Level.OK, "time zone", text)


CHECKS: Final = (check_python, check_packages, check_build, check_certificates, check_zone)
