"""Every module has a test file of its name; every stub says what its module has."""

from __future__ import annotations

import ast
import importlib
from functools import cache
from pathlib import Path
from types import ModuleType

from ext import layout
from tests.architecture.tree import ROOT, below, every, imports, module_name, tracked

OPENALGO = "pipeline.services.control.api.openalgo"
OPENALGO_TESTS = "tests/services/control/api/openalgo"
#: Modules whose test has another name, or that hold nothing to test alone.
ELSEWHERE = {
    "pipeline.__main__": "tests/cli/test_main.py",
    "pipeline.cli.demo.act": "tests/system/test_demo.py",
    "pipeline.cli.demo.command": "tests/system/test_demo.py",
    "pipeline.cli.demo.folder": "tests/cli/demo/test_parts.py",
    "pipeline.cli.demo.live": "tests/cli/demo/test_parts.py",
    "pipeline.cli.demo.options": "tests/cli/demo/test_parts.py",
    "pipeline.cli.demo.page": "tests/cli/demo/test_parts.py",
    "pipeline.cli.demo.probe": "tests/cli/demo/test_parts.py",
    "pipeline.cli.demo.readings": "tests/system/test_demo.py",
    "pipeline.cli.demo.scenario": "tests/cli/demo/test_parts.py",
    "pipeline.cli.demo.stage": "tests/system/test_demo.py",
    "pipeline.cli.demo.summary": "tests/cli/demo/test_parts.py",
    "pipeline.cli.demo.verdict": "tests/cli/demo/test_parts.py",
    "pipeline.cli.run": "tests/system/test_run.py",
    "pipeline.core.compiled": "tests/packaging/test_foreign.py",
    "pipeline.core.foreign": "tests/packaging/test_foreign.py",
    "pipeline.core.exit_codes": "tests/core/test_errors.py",
    "pipeline.core.rates": "tests/planning/test_rate_limits.py",
    "pipeline.core.layout": "tests/architecture/test_layout.py",
    "pipeline.core.config.fields": "tests/core/config/test_loading.py",
    "pipeline.core.config.reading": "tests/core/config/test_loading.py",
    "pipeline.core.config.market": "tests/core/config/test_loading.py",
    "pipeline.core.config.roles": "tests/core/config/test_loading.py",
    "pipeline.core.config.sections": "tests/core/config/test_loading.py",
    "pipeline.core.config.services": "tests/core/config/test_loading.py",
    "pipeline.core.config.terms": "tests/core/config/test_loading.py",
    "pipeline.kite.session": "tests/kite/test_life.py",
    "pipeline.planning.bench": "tests/planning/test_pool_machine.py",
    "pipeline.planning.lanes": "tests/planning/test_placement.py",
    "pipeline.strategy.reading": "tests/strategy/test_market.py",
    "pipeline.supervisor.backlog": "tests/supervisor/test_supervisor.py",
    "pipeline.supervisor.crew": "tests/supervisor/test_supervisor.py",
    "pipeline.supervisor.establish": "tests/supervisor/test_supervisor.py",
    "pipeline.supervisor.heir": "tests/supervisor/test_supervisor.py",
    "pipeline.supervisor.hosted": "tests/supervisor/test_launch.py",
    "pipeline.supervisor.news": "tests/supervisor/test_supervisor.py",
    "pipeline.supervisor.piped": "tests/supervisor/test_launch.py",
    "pipeline.supervisor.readers": "tests/supervisor/test_supervisor.py",
    "pipeline.supervisor.roles": "tests/system/test_run.py",
    "pipeline.supervisor.signals": "tests/supervisor/test_supervisor.py",
    "pipeline.supervisor.task": "tests/supervisor/test_supervisor.py",
    "pipeline.supervisor.start": "tests/supervisor/test_supervisor.py",
    "pipeline.strategy.attachment": "tests/strategy/test_market.py",
    "pipeline.strategy.hosting.__main__": "tests/system/test_hosted.py",
    "pipeline.strategy.hosting.host": "tests/system/test_hosted.py",
    "pipeline.strategy.helper": "tests/strategy/test_iterators.py",
    "pipeline.services.control.api.accounts": "tests/services/control/api/test_app.py",
    "pipeline.services.control.api.answers": "tests/services/control/api/test_app.py",
    "pipeline.services.control.api.app": "tests/services/control/api/test_app.py",
    "pipeline.services.control.api.host": "tests/services/control/api/test_app.py",
    "pipeline.services.control.api.metrics": "tests/services/control/api/test_app.py",
    "pipeline.services.control.api.models": "tests/services/control/api/test_app.py",
    f"{OPENALGO}.bodies": f"{OPENALGO_TESTS}/test_v1.py",
    f"{OPENALGO}.paths": f"{OPENALGO_TESTS}/test_v1.py",
    f"{OPENALGO}.replies": f"{OPENALGO_TESTS}/test_v1.py",
    f"{OPENALGO}.schemas": f"{OPENALGO_TESTS}/test_v1.py",
    "pipeline.services.control.api.origin": "tests/services/control/api/test_session.py",
    "pipeline.services.control.api.schema": "tests/services/control/api/test_document.py",
    "pipeline.services.control.api.schemas": "tests/services/control/api/test_document.py",
    "pipeline.services.control.api.serving": "tests/services/control/api/test_app.py",
    "pipeline.services.control.api.stream": "tests/services/control/api/test_app.py",
    "pipeline.services.control.surroundings": "tests/services/control/test_outside.py",
    "pipeline.services.control.meaning": "tests/services/control/test_commands.py",
    "pipeline.services.control.questions": "tests/services/control/test_commands.py",
    "pipeline.services.control.refused": "tests/services/control/test_commands.py",
    "pipeline.services.control.results": "tests/services/control/test_commands.py",
    "pipeline.services.control.desk": "tests/services/control/api/test_app.py",
    "pipeline.services.control.health": "tests/services/control/test_stats.py",
    "pipeline.services.control.front": "tests/services/control/api/test_app.py",
    "pipeline.services.control.screen.screen": "tests/services/control/screen/test_routes.py",
    "pipeline.services.status.connections": "tests/services/status/test_snapshot.py",
    "pipeline.services.status.model": "tests/services/status/test_snapshot.py",
    "pipeline.services.status.pages": "tests/services/status/test_snapshot.py",
    "pipeline.services.status.processes": "tests/services/status/test_snapshot.py",
    "pipeline.services.status.readers": "tests/services/status/test_snapshot.py",
    "pipeline.cli.choose": "tests/cli/test_stat.py",
    "pipeline.cli.clean": "tests/cli/test_stat.py",
    "pipeline.cli.sub": "tests/cli/test_pool.py",
    "pipeline.cli.tables": "tests/cli/test_status_view.py",
    "pipeline.cli.top": "tests/cli/test_stat.py",
    "pipeline.cli.figures": "tests/cli/test_status_view.py",
    "ext.process": "tests/supervisor/test_fork.py",
    "pipeline.sim.server": "tests/sim/test_exchange.py",
    "pipeline.sim.role": "tests/system/test_run.py",
    "pipeline.sim.lobby": "tests/sim/test_rest.py",
    "pipeline.sim.perform_rest": "tests/sim/test_rest.py",
    "pipeline.sim.quotes": "tests/sim/test_rest.py",
    "pipeline.sim.roll": "tests/sim/test_rest.py",
    "pipeline.sim.troubles": "tests/sim/test_rest.py",
    "ext.layout": "tests/architecture/test_layout.py",
    "ext.sources": "tests/packaging/test_foreign.py",
    "ext.generate_layout": "tests/architecture/test_layout.py",
    "ext.bench": "benchmarks/bench_ring.py",
    "ext.lanes": "tests/feed/test_decoder.py",
    "ext.mapping": "tests/shm/test_segment.py",
}

MODULES = [
    path
    for path in [*below("pipeline", "ext", suffix=".py"), *below("ext", suffix=".pyx")]
    if path.name != "__init__.py"
]
STUBS = below("ext", suffix=".pyi")


@cache
def _tested_in(folder: Path) -> set[str]:
    """Return every module that the tests below a folder import, helpers included."""
    return {found.target for file in folder.rglob("*.py") for found in imports(file)}


@every(MODULES)
def test_module_has_a_test_file(path: Path) -> None:
    """Either of its own name, or one below the mirrored package's folder that imports it."""
    module = module_name(path)
    if module in ELSEWHERE:
        assert (ROOT / ELSEWHERE[module]).exists()
        return
    parts = path.relative_to(ROOT).parts
    folder = ROOT.joinpath("tests", *(parts[1:-1] if parts[0] == "pipeline" else parts[:-1]))
    expected = folder / f"test_{path.stem}.py"
    if not expected.exists():
        name = expected.relative_to(ROOT)
        package = ROOT / "tests" / (parts[1] if parts[0] == "pipeline" else parts[0])
        assert module in _tested_in(package), f"{module} has no {name}, nor a neighbour's test"


def test_the_list_of_exceptions_is_current() -> None:
    modules = {module_name(path) for path in MODULES}
    assert set(ELSEWHERE) <= modules


def test_every_extension_has_a_stub() -> None:
    sources = {path.with_suffix("") for path in below("ext", suffix=".pyx")}
    assert sources == {path.with_suffix("") for path in STUBS}


def _names(body: list[ast.stmt]) -> set[str]:
    names = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Assign) and not isinstance(node.value, ast.Subscript | ast.BinOp):
            # What is left out here is an alias of a type, which only the stub needs.
            names |= {t.id for t in node.targets if isinstance(t, ast.Name)}
    return {name for name in names if not name.startswith("_")}


def _public(value: object, module: str) -> set[str]:
    """Return the public names that a module or class defines itself."""
    found = set()
    for name, member in vars(value).items():
        home = getattr(member, "__module__", module)
        imported = isinstance(member, ModuleType) or (
            module != layout.__name__ and getattr(layout, name, None) is member
        )
        if not name.startswith("_") and home in (module, None) and not imported:
            found.add(name)
    return found


@every(STUBS)
def test_stub_names_what_the_module_has(path: Path) -> None:
    module = importlib.import_module(module_name(path))
    body = ast.parse(path.read_text()).body
    assert _names(body) == _public(module, module.__name__)
    for node in body:
        if isinstance(node, ast.ClassDef):
            cls = getattr(module, node.name)
            assert _names(node.body) == _public(cls, module.__name__), node.name


def test_no_test_file_is_an_orphan() -> None:
    """A test file below a mirrored folder belongs to a module, or is in the list above."""
    folders = {p.name for p in (ROOT / "pipeline").iterdir() if p.is_dir()} - {"__pycache__"}
    for path in tracked():
        parts = path.relative_to(ROOT).parts
        if parts[0] == "tests" and parts[1] in folders and path.name.startswith("test_"):
            inner = Path("pipeline", *parts[1:-1])
            assert (ROOT / inner).is_dir(), f"{path} mirrors no package"
