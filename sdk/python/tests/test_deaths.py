"""What the end of a handler's process means."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from niyanta import Cancelled, Paused
from niyanta._deaths import OutOfMemory, died
from niyanta._handlers import Ended


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (1, Ended(error_type="exit_status", message="exit status 1")),
        (63, Ended(error_type="exit_status", message="exit status 63")),
        (64, Ended(error_type="exit_status", message="exit status 64", permanent=True)),
        (78, Ended(error_type="exit_status", message="exit status 78", permanent=True)),
        (79, Ended(error_type="exit_status", message="exit status 79")),
        (0, Ended(error_type="exit_status", message="exit status 0 without a result")),
        (-signal.SIGSEGV, Ended(error_type="signal", message="killed by signal 11 (segmentation fault)")),
        (-signal.SIGKILL, Ended(error_type="signal", message="killed by signal 9 (killed)")),
    ],
)
def test_death_by_itself_is_a_failure(status: int, expected: Ended) -> None:
    assert died(status, None, False) == expected


def test_kill_when_memory_is_short_names_the_resource() -> None:
    out = died(-signal.SIGKILL, None, True)
    assert (out.error_type, out.permanent) == ("resources", False) and "out of memory" in out.message
    assert died(-signal.SIGSEGV, None, True).error_type == "signal", "the kernel kills by SIGKILL only"


@pytest.mark.parametrize("cause", [Paused(), Cancelled()])
def test_death_after_it_was_told_to_stop_is_its_end(cause: Paused | Cancelled) -> None:
    for status in (-signal.SIGKILL, -signal.SIGTERM, 0, 128 + signal.SIGTERM):
        assert died(status, cause, False) == Ended(stopped=True)
    assert died(3, cause, False).error_type == "exit_status", "it failed by itself"


@pytest.mark.parametrize(
    ("groups", "file"),
    [
        ("0::/jobs/one\n", "sys/fs/cgroup/jobs/one/memory.events"), ("0::/\n", "sys/fs/cgroup/memory.events"),
        ("0::/host/path\n", "sys/fs/cgroup/memory.events"),
        ("4:cpu:/\n3:memory:/a\n", "sys/fs/cgroup/memory/a/memory.oom_control"),
        ("4:cpu:/\n", "proc/vmstat"), ("0::/\n", "proc/vmstat"),
    ],
)
def test_kills_are_those_of_the_control_group(tmp_path: Path, groups: str, file: str) -> None:
    for name, text in (("proc/self/cgroup", groups), (file, "max 9\noom_kill 3\noom_group_kill 7\n")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    counter = OutOfMemory(tmp_path)
    assert counter.kills() == 3
    (tmp_path / file).unlink()
    assert counter.kills() == 0


def test_kills_are_unknown_on_other_systems(tmp_path: Path) -> None:
    assert OutOfMemory(tmp_path).kills() == 0
