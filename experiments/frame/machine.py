"""What a measurement ran on, and what the system tells of it: memory, page faults, the processor's counters."""

import os
import platform
import re
import resource
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def facts() -> dict:
    """For the header of a record: commit (None outside of a repository), processor, build, time."""
    from slide import build_info

    return {
        "commit": _commit(),
        "cpu": _cpu_model(),
        "build": build_info(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _commit() -> str | None:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=ROOT, capture_output=True, text=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _cpu_model() -> str:
    found = re.search(r"^model name\s*: *(.+)$", _text("/proc/cpuinfo"), re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 (AMX, AVX-512 BF16 or that of arm64), as its flags say."""
    wanted = r"^(flags|Features)\s*:.* (amx_bf16|avx512_bf16|bf16)\b"
    return re.search(wanted, _text("/proc/cpuinfo"), re.MULTILINE) is not None


def _text(path) -> str:
    """The text of a file of the system; empty where there is none, or it may not be read."""
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def thread_counts(threads: int, most: int | None = None) -> list[int]:
    """1, 2, 4, ... and last `threads`, or `most` where that is less."""
    last = threads if most is None else min(threads, most)
    return [2**k for k in range(last.bit_length()) if 2**k < last] + [last]


def free_memory() -> float:
    """Bytes of memory that are free for a new process; infinite where the system does not tell."""
    found = re.search(r"^MemAvailable: *(\d+)", _text("/proc/meminfo"), re.MULTILINE)
    return 1024.0 * int(found[1]) if found else float("inf")


def peak_gb(who: int = resource.RUSAGE_SELF) -> float:
    """Gigabytes of memory that this process, or those that it waited for (RUSAGE_CHILDREN), held at most."""
    return resource.getrusage(who).ru_maxrss / 2**20


def page_faults() -> int:
    """Page faults of this process so far, served from memory or disk."""
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_minflt + use.ru_majflt


def huge_page_bytes() -> int | None:
    """Bytes of this process that lie on transparent huge pages; None where the system does not tell."""
    text = _text("/proc/self/smaps")
    return sum(1024 * int(size) for size in re.findall(r"^AnonHugePages: *(\d+)", text, re.MULTILINE)) if text else None


def counters(command, events, env=None) -> dict:
    """{event: count} of a command under perf stat, `env` added; events that cannot be counted are left out."""
    if shutil.which("perf") is None:
        return {}
    under = ["perf", "stat", "-x", ";", "-e", ",".join(events), *command]
    done = subprocess.run(under, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **(env or {})})
    found = re.findall(r"^(\d+);[^;]*;([\w.-]+?)(?::u)?;", done.stderr, re.MULTILINE)
    return {event: int(count) for count, event in found}


def countable(events) -> list[str]:
    """Those of the events that perf can count here."""
    return [event for event in events if counters(["true"], [event])]


def why_uncounted(events, counted) -> str | None:
    """Why not all of the events can be counted."""
    if shutil.which("perf") is None:
        return "perf is not installed"
    if "cycles" not in counted:
        return "the processor's counters cannot be read here (a virtual machine, or perf_event_paranoid)"
    return None if set(counted) == set(events) else "this processor has other names for some events"
