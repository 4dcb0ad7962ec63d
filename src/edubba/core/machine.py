"""The machine a run is on: processor, cores, threads, versions, and whether bf16 is fast here."""

import os
import platform
from importlib import metadata
from pathlib import Path


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """Name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def fast_bf16() -> bool:
    """Whether the processor multiplies bf16 in hardware: by its flags, never by a stopwatch."""
    info = Path("/proc/cpuinfo")
    flags = (
        next((line for line in info.read_text().splitlines() if line.startswith("flags")), "") if info.exists() else ""
    )
    return bool({"amx_bf16", "avx512_bf16"} & set(flags.split()))


def facts() -> dict[str, str | int]:
    """What stands in [resolved] about the machine."""
    return {
        "machine": f"{processor()}, {cores()} cores, {platform.system()}",
        "python": platform.python_version(),
        "edubba": metadata.version("edubba"),
        "torch": metadata.version("torch"),
        "numpy": metadata.version("numpy"),
    }
