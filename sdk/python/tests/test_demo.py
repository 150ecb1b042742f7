"""The demo shows what it promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import niyanta
from conftest import EXAMPLES, binary


@pytest.mark.smoke
def test_demo_shows_the_kill_and_the_resumption() -> None:
    demo = subprocess.run(
        [sys.executable, str(EXAMPLES / "pystats" / "demo.py"), "-program", binary()],
        capture_output=True, text=True, timeout=240,
        env={**os.environ, "PYTHONPATH": str(Path(niyanta.__file__).parents[1])},
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    killed = re.search(r"SIGKILL to (worker-[ab]) at \d+%, checkpoint (\d+)", demo.stdout)
    resumed = re.search(r"resumed at file (\d+)", demo.stdout)
    assert killed and resumed and int(resumed[1]) >= 20 * int(killed[2])
    assert demo.stdout.count("running again after") == 1
    assert demo.stdout.endswith("equal to the count made without Niyanta\n")
