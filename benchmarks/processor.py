"""What this machine computes with, for the results' account of it."""

import platform
from pathlib import Path


def processor() -> str:
    """Such as "Intel(R) Xeon(R) Processor (amx_bf16)": the name and the fastest bfloat16 instructions."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    facts = dict(line.partition(":")[::2] for line in info.read_text().splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    flags = facts.get("flags", "").split()
    fastest = next((flag for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if flag in flags), "")
    return f"{facts.get('model name', platform.machine())} ({fastest or 'no vector instructions known'})"
