"""What the numbers were measured on."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    return {
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
        if os.name == "posix"
        else None,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}, Python {platform.python_version()}",
        "huge_pages": _read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "load": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }


def _cpu() -> str:
    info = dict(line.split(":", 1) for line in _read("/proc/cpuinfo").split("\n\n")[0].splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in info.items()}
    if "model name" not in fields:
        return platform.processor() or platform.machine()
    widest = next((isa for isa in ("avx512f", "avx2", "sse2") if isa in fields.get("flags", "").split()), "")
    return f"{fields['model name']} (family {fields.get('cpu family')}, {widest})"


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
