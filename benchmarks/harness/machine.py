"""On what was measured, and with which versions: a figure belongs to a machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import ssl
from pathlib import Path
from typing import Any, Final

_CPU_INFO: Final = Path("/proc/cpuinfo")
_LIBRARIES: Final = (
    "numpy", "cython", "websocket-client", "kiteconnect", "picows", "websockets", "pyzmq",
    "faster-fifo",
)  # fmt: skip


def machine() -> dict[str, Any]:
    """Return the machine's class: processor, cores, vector instructions, kernel, load."""
    fields = _cpu_fields()
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    return {
        "processor": fields.get("model name", platform.machine()),
        "cores": len(os.sched_getaffinity(0)),
        "avx512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "load_1min": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Return the versions of what was measured; what is missing is named so."""
    found = {"Python": platform.python_version(), "OpenSSL": ssl.OPENSSL_VERSION.split()[1]}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def describe(found: dict[str, Any]) -> str:
    """Return the machine in one line."""
    vectors = "with AVX-512" if found["avx512"] else "without AVX-512"
    return (
        f"{found['processor']}, {found['cores']} cores, {vectors}, {found['memory_gib']} GiB, "
        f"{found['kernel']}, load {found['load_1min']} at the start"
    )


def _cpu_fields() -> dict[str, str]:
    try:
        text = _CPU_INFO.read_text()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
