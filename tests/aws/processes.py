"""The processes of deployed functions, as the emulator runs them on this machine."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            pass  # the thread has ended
    return found


def running(emulator: int) -> dict[int, str]:
    """Processes of functions by id, each with its function's name: only children of this emulator."""
    found = {}
    for pid in children(emulator):
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        name = next((v.partition(b"=")[2] for v in variables if v.startswith(b"AWS_LAMBDA_FUNCTION_NAME=")), None)
        if name:
            found[pid] = name.decode()
    return found


def kill_one(emulator: int, names: set[str]) -> str | None:
    """Kills a process of one of the functions named, as a crash of its machine would; which function's it was."""
    candidates: dict[str, list[int]] = {}
    for pid, name in running(emulator).items():
        if name in names:
            candidates.setdefault(name, []).append(pid)
    if not candidates:
        return None
    # First the function: there are far more processes of some than of others.
    name = random.choice(list(candidates))
    try:
        os.kill(random.choice(candidates[name]), signal.SIGKILL)
    except ProcessLookupError:
        return None
    return name
