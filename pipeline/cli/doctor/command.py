"""Run every check and print the report. Floor 6."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipeline.cli.doctor import machine, software
from pipeline.cli.doctor.finding import Finding, Level, Machine, mebibytes
from pipeline.core.exit_codes import ExitCode

if TYPE_CHECKING:
    from pipeline.shm.plan import MemoryPlan

_COLOURS: Final = {Level.OK: "green", Level.WARN: "yellow", Level.BAD: "red"}


def command(
    config: Annotated[
        Path | None, typer.Option("--config", help="check this file and plan its memory")
    ] = None,
    instance: Annotated[
        str | None,
        typer.Option("--instance", metavar="NAME", help="and what its pool suffers from"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    shm_directory: Annotated[
        Path | None, typer.Option(help="where its segments are: instance.shm_directory")
    ] = None,
) -> None:
    """Say what is wrong on this machine and how to mend it; print the memory plan."""
    findings, plan = examine(Machine(), config)
    if instance is not None and _is_built(findings):
        from pipeline.cli.choose import DEFAULT_DIRECTORY
        from pipeline.cli.doctor import pool

        findings += pool.check(instance, shm_directory or DEFAULT_DIRECTORY)
    bad = any(finding.level is Level.BAD for finding in findings)
    if as_json:
        print(json.dumps(report(findings, plan)))
    else:
        show(findings, plan)
    raise typer.Exit(ExitCode.FAILED if bad else ExitCode.DONE)


def examine(where: Machine, config_path: Path | None) -> tuple[list[Finding], MemoryPlan | None]:
    """Return all findings, and the memory plan when one can be made."""
    findings = [finding for check in software.CHECKS for finding in check(where)]
    findings += [finding for check in machine.CHECKS for finding in check(where)]
    if not _is_built(findings):
        return findings, None
    # Only now is it known that the compiled modules can be imported.
    from pipeline.cli.doctor import gateway, idle, memory
    from pipeline.shm.plan import plan_memory

    config, found = memory.read_config(config_path)
    findings += found
    if config is None:
        return findings, None
    plan = plan_memory(config)
    root = Path(config.instance.shm_directory)
    findings += memory.check_room(where, plan, root)
    findings += memory.check_instances(where, root)
    findings += idle.check(where, config)
    findings += gateway.check(config)
    return findings, plan


def _is_built(findings: list[Finding]) -> bool:
    broken = (f.subject for f in findings if f.level is Level.BAD)
    return not {"build", "packages"}.intersection(broken)


def report(findings: list[Finding], plan: MemoryPlan | None) -> dict[str, object]:
    """Return the report in JSON's types."""
    worst = [finding for finding in findings if finding.level is Level.BAD]
    return {
        "ok": not worst,
        "findings": [{**finding._asdict(), "level": finding.level.value} for finding in findings],
        "memory": None
        if plan is None
        else {
            "total_bytes": plan.total_bytes,
            "segments": [
                {"kind": row.kind.name.lower(), "count": row.segments,
                 "bytes": row.total_bytes, "key": row.key}
                for row in plan.rows()
            ],
        },
    }  # fmt: skip


def show(findings: list[Finding], plan: MemoryPlan | None) -> None:
    """Print the report for a person."""
    for finding in findings:
        mark = typer.style(f"{finding.level.value:4}", fg=_COLOURS[finding.level])
        typer.echo(f"{mark}  {finding.subject}: {finding.text}")
        if finding.mend:
            typer.echo(f"      -> {finding.mend}")
    if plan is not None:
        typer.echo("\nmemory plan")
        for row in plan.rows():
            size = mebibytes(row.total_bytes)
            kind = row.kind.name.lower()
            typer.echo(f"  {kind:18} {row.segments:4} files {size:>10}  {row.key}".rstrip())
        typer.echo(f"  {'total':18}            {mebibytes(plan.total_bytes):>10}")
    counts = {level: sum(f.level is level for f in findings) for level in Level}
    typer.echo("\n" + ", ".join(f"{count} {level.value}" for level, count in counts.items()))
