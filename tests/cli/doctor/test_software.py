"""Checks of Python, packages, the build and what TLS trusts."""

from __future__ import annotations

import ssl
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

from pipeline.cli.doctor import software
from pipeline.cli.doctor.finding import Level, Machine

ROOT = Path(__file__).parents[3]
HERE = Machine()


def test_this_environment_is_in_order() -> None:
    for check in (software.check_python, software.check_packages):
        assert all(finding.level is Level.OK for finding in check(HERE))


def test_package_versions_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {}
    for line in project["dependencies"]:
        name, _, version = line.partition(">=")
        wanted[name] = version.partition(",")[0]
    assert wanted == software.PACKAGES
    for name, (least, _) in software.EXTRAS.items():
        extras = project["optional-dependencies"]
        assert any(d.startswith(f"{name}>={least}") for d in [*extras["sim"], *extras["rest"]])
    low, high = project["requires-python"].split(",")
    assert low == ">={}.{}".format(*software.PYTHON_MIN)
    assert high == f"<{software.PYTHON_MAX[0]}.{software.PYTHON_MAX[1] + 1}"


@pytest.mark.parametrize("version", [(3, 10, 4), (3, 14, 0)])
def test_unsupported_python(monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...]) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    [found] = software.check_python(HERE)
    assert found.level is Level.BAD and "./demo" in found.mend


def test_free_threaded_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: 1)
    [found] = software.check_python(HERE)
    assert found.level is Level.BAD


def test_missing_and_old_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"numpy": "1.26.4", "psutil": None, "websockets": None}
    real = software.installed
    monkeypatch.setattr(software, "installed", lambda name: versions.get(name, real(name)))
    versions_found = [f for f in software.check_packages(HERE) if f.level is not Level.OK]
    texts = {f.text: f for f in versions_found}
    assert "'numpy>=2.1'" in texts["numpy 1.26.4, 2.1 is wanted"].mend
    assert "'psutil>=6'" in texts["psutil is missing"].mend
    assert texts["websockets is missing: no simulated exchange"].level is Level.WARN


@pytest.mark.parametrize(
    ("version", "numbers"), [("2.1", (2, 1)), ("1.26.4+local5", (1, 26, 4)), ("6.0rc1", (6, 0, 1))]
)
def test_numbers(version: str, numbers: tuple[int, ...]) -> None:
    assert software.numbers(version) == numbers


def test_build_is_there() -> None:
    [found] = software.check_build(HERE)
    assert found.level is Level.OK, found
    assert "layout" in found.text


def test_unbuilt_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ext").mkdir()
    (tmp_path / "ext" / "layout.pyx").write_text("")
    monkeypatch.setattr(software, "_ROOT", tmp_path)
    [found] = software.check_build(HERE)
    assert found.level is Level.BAD and "build_ext --inplace" in found.mend


def test_certificates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def paths(cafile: str | None, capath: str | None) -> ssl.DefaultVerifyPaths:
        return ssl.DefaultVerifyPaths(cafile, capath, "E", "a.pem", "D", "certs")

    for cafile, capath, level in [
        ("x.pem", None, Level.OK),
        (None, str(tmp_path), Level.BAD),
        (None, None, Level.BAD),
    ]:
        found_paths = paths(cafile, capath)
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda p=found_paths: p)
        [found] = software.check_certificates(HERE)
        assert found.level is level


def test_zone_is_never_wrong() -> None:
    [found] = software.check_zone(HERE)
    assert found.level is Level.OK
