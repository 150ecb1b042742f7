"""The programs of the README run as they are."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import niyanta
from conftest import Process, System, eventually


@pytest.mark.smoke
def test_programs_of_the_readme(system: System, tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "README.md").read_text()
    programs = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", page, re.DOTALL)
    assert [name for name, _ in programs] == ["worker.py", "client.py"]
    for name, text in programs:
        (tmp_path / name).write_text(text)
    env = {
        "NIYANTA_COORDINATOR_URL": system.url, "NIYANTA_WORKER_KEY": system.worker_key, "NIYANTA_URL": system.url,
        "NIYANTA_API_KEY": system.key, "PYTHONPATH": str(Path(niyanta.__file__).parents[1]),
    }
    worker = Process([sys.executable, str(tmp_path / "worker.py")], env, tmp_path / "worker.log")
    try:
        client = subprocess.run([sys.executable, str(tmp_path / "client.py")], env=env, capture_output=True,
                                text=True, timeout=60)
        assert client.stdout.endswith("{'resized': 2}\n"), client.stdout + client.stderr + worker.said()
        assert "completed COMPLETED" in client.stdout and "resized" in client.stdout
        worker.signal(signal.SIGTERM)
        assert worker.wait(20) == 0, worker.said()
    finally:
        worker.end()
    eventually("its work is over", lambda: worker.poll() is not None)
