"""Counts lines, functions, classes and imports of a tree of Python source, by folder. It saves as it
goes, so that another worker continues where this one was lost."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

from niyanta import RunError, SyncTask, Worker

worker = Worker.from_environment()  # NIYANTA_COORDINATOR_URL, NIYANTA_WORKER_KEY


@dataclass
class Input:
    root: str
    #: The number of files between checkpoints.
    checkpoint_every: int = 20


@dataclass
class Stats:
    files: int = 0
    lines: int = 0
    functions: int = 0
    classes: int = 0
    imports: int = 0
    #: Files that are no valid Python. They still have lines.
    broken: int = 0


@dataclass
class State:
    """What a checkpoint holds: how many files are done, in their order, and the counts so far."""

    done: int = 0
    folders: dict[str, Stats] = field(default_factory=dict)


@dataclass
class Output:
    folders: dict[str, Stats]
    #: The file at which the last run began: 0 if no worker was lost.
    resumed_at: int


def count_file(file: Path, stats: Stats) -> None:
    """Adds the counts of one file."""
    source = file.read_bytes()
    stats.files += 1
    stats.lines += source.count(b"\n")
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):
        stats.broken += 1
        return
    stats.functions += sum(isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)) for n in nodes)
    stats.classes += sum(isinstance(n, ast.ClassDef) for n in nodes)
    stats.imports += sum(isinstance(n, (ast.Import, ast.ImportFrom)) for n in nodes)


# It computes without a pause: in a process of its own it can be cancelled at any time.
@worker.workload("pystats", isolate=True)
def pystats(task: SyncTask[Input, State]) -> Output:
    root, state = Path(task.input.root), task.state or State()
    files = sorted(root.rglob("*.py"))
    if not files:
        raise RunError(f"there is no Python source below {root}", error_type="no_source", permanent=True)
    resumed_at = state.done
    if task.resumed:
        task.log(f"resuming at file {state.done} of {len(files)}")
    for file in files[state.done:]:
        task.check()
        count_file(file, state.folders.setdefault(str(file.parent.relative_to(root)), Stats()))
        state.done += 1
        if state.done % task.input.checkpoint_every == 0:
            percent = 100 * state.done / len(files)
            task.checkpoint(state, percent=percent, message=f"{state.done} of {len(files)} files")
    return Output(state.folders, resumed_at)


if __name__ == "__main__":
    worker.main()
