"""What all tests share: options, seeds, and the epilogue that nothing is left behind.

Tests that start processes or make segments (the folders in `SYSTEM_FOLDERS`, or any test that
asks for `clean_slate`) end with it: no child processes, no new files of instances, no new
descriptors.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings

# A background job of a shell ignores SIGINT, and what a test starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

SYSTEM_FOLDERS = ("system", "kite", "clients", "supervisor", "faults", "stress", "chaos")
SETTLE_S = 30.0
ROOT = Path(__file__).parents[1]
ALLOWED_SKIPS = ROOT / "tests" / "allowed_skips.txt"
REASON_LENGTH_MAX = 160
LOG_LINES = 100

# A noisy machine makes single examples slow; pytest-timeout bounds the whole test.
settings.register_profile(
    "full", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True,
    derandomize=False,
)  # fmt: skip
# The same examples each time: a change is judged by itself. New ones are the business of --full.
settings.register_profile("check", settings.get_profile("full"), derandomize=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what `./check --full` uses."""
    parser.addoption("--full", action="store_true", help="run the tests marked full, too")
    parser.addoption(
        "--strict-skips",
        action="store_true",
        help=f"fail when a test is skipped for a reason that {ALLOWED_SKIPS.name} does not list",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose where examples come from, before test modules derive their own settings."""
    settings.load_profile("full" if config.getoption("--full") else "check")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what only `--full` runs, and give system tests their epilogue."""
    for item in items:
        if item.path.relative_to(ROOT / "tests").parts[0] in SYSTEM_FOLDERS:
            item.fixturenames.insert(0, "clean_slate")  # type: ignore[attr-defined]
    if config.getoption("--full"):
        return
    full = [item for item in items if item.get_closest_marker("full")]
    if full:
        config.hook.pytest_deselected(items=full)
        items[:] = [item for item in items if not item.get_closest_marker("full")]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test the end of what its instance has logged."""
    report = yield
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and folder and (folder / "log").is_file():
        lines = (folder / "log").read_text(errors="replace").splitlines()
        report.sections.append(("the end of its log", "\n".join(lines[-LOG_LINES:])))
    return report


def pytest_collection_finish() -> None:
    """Keep the garbage collector from what was collected, which lives as long as the tests.

    `clean_slate` collects garbage twice a test: with all modules and items in its way that takes
    0.3 s of CPU each time.
    """
    gc.collect()
    gc.freeze()


def allowed_skips() -> dict[str, str]:
    """Return parts of reasons, each with the promise that is then not shown, or nothing."""
    lines = [line.strip() for line in ALLOWED_SKIPS.read_text().splitlines()]
    entries = [line.partition(" => ") for line in lines if line and not line.startswith("#")]
    return {words: promise for words, _, promise in entries}


def _reason(report: pytest.TestReport) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


def unexpected_skips(reports: list[pytest.TestReport]) -> list[str]:
    """Return test and reason of every skip that the list does not allow."""
    allowed = allowed_skips()
    return [
        f"{report.nodeid}: {_reason(report)}"
        for report in reports
        if not any(words in _reason(report) for words in allowed)
    ]


def promises_not_shown(reports: list[pytest.TestReport]) -> list[str]:
    """Return each promise that allowed skips leave unshown, once, with their reasons in a line."""
    found: dict[str, dict[str, None]] = {}
    for report in reports:
        reason = " ".join(_reason(report).split())
        for words, promise in allowed_skips().items():
            if promise and words in reason:
                found.setdefault(promise, {})[reason[:REASON_LENGTH_MAX]] = None
    return [f"{promise} ({'; '.join(reasons)})" for promise, reasons in found.items()]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """With --strict-skips, make a skip that is not on the list a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not session.config.getoption("--strict-skips"):
        return
    found = unexpected_skips(reporter.stats.get("skipped", []))
    if found and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    for line in found:
        reporter.write_line(f"skip that is not allowed: {line}", red=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    """With --full, name behind pytest's own last line what this machine could not show."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not config.getoption("--full"):
        return
    for line in promises_not_shown(reporter.stats.get("skipped", [])):
        reporter.write_line(f"not shown on this machine: {line}")


def wait_until(condition: Callable[[], object], *, timeout_s: float, what: str) -> None:
    """Return once `condition()` holds; fail the test, naming `what`, after the deadline."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s} s: {what}")
        time.sleep(0.01)


@pytest.fixture(scope="session", autouse=True)
def own_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep apart from the user's own what is kept for a user: keys, lists, what was where."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A seed that a failing test shows; PIPELINE_TEST_SEED repeats it."""
    given = os.environ.get("PIPELINE_TEST_SEED")
    value = int(given) if given else random.SystemRandom().randrange(2**31)
    request.node.add_report_section("setup", "seed", f"PIPELINE_TEST_SEED={value}")
    return value


@pytest.fixture
def shm_root() -> Iterator[Path]:
    """A directory in shared memory for a test's instances; it must be empty again at the end."""
    base = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=base if base.is_dir() else None) as name:
        yield Path(name)
        assert leftovers(Path(name)) == []


def leftovers(root: Path) -> list[str]:
    """Return the files below a directory of instances."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def _described(pid: int) -> str:
    try:
        found = psutil.Process(pid).as_dict(["status", "ppid", "cmdline"])
    except psutil.NoSuchProcess:
        return f"{pid}, which has gone meanwhile"
    return f"{pid}: {found}"


def _descriptors() -> dict[str, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 (iterdir would hold it open as well)
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
        except OSError:
            continue  # the one of this very listing
    return found


def _instances() -> set[str]:
    """Return the files of all instances but those that somebody else runs meanwhile."""
    base = Path("/dev/shm") / f"pipeline-{os.geteuid()}"
    folders = [path for path in base.glob("*") if not _is_of_others(path)]
    found = set(map(str, folders))
    for folder in folders:
        # Others' may be going away right now: os.walk passes over what has gone, rglob raises.
        for path, *lists in os.walk(folder):
            found |= {str(Path(path) / name) for names in lists for name in names}
    return found


def _is_of_others(folder: Path) -> bool:
    from pipeline.core.errors import PipelineError  # this file also serves an unbuilt checkout
    from pipeline.shm.instance import InstanceView
    from pipeline.shm.names import InstancePaths

    try:
        info = InstanceView(InstancePaths(folder.name, folder.parents[1])).read()
    except (PipelineError, ValueError, OSError):
        return False
    return info.supervisor_alive and info.supervisor_pid not in _children()


@pytest.fixture
def clean_slate() -> Iterator[None]:
    """End the test with: no new child, no new file of an instance, no new descriptor."""
    gc.collect()
    children, descriptors, instances = _children(), _descriptors(), _instances()
    yield
    gc.collect()
    deadline = time.monotonic() + SETTLE_S
    while (left := (_children() - children, _instances() - instances)) != (set(), set()):
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    processes, files = left
    told = [_described(pid) for pid in sorted(processes)]
    assert processes == set(), f"processes were left behind: {told}"
    assert files == set(), "files of instances were left behind"
    opened = {n: path for n, path in _descriptors().items() if n not in descriptors}
    assert opened == {}, "descriptors were left open"
