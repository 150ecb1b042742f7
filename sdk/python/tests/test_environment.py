from __future__ import annotations

from pathlib import Path

import pytest

from niyanta import Worker


@pytest.fixture(autouse=True)
def url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIYANTA_COORDINATOR_URL", "http://127.0.0.1:1")
    for name in ("NIYANTA_WORKER_KEY", "NIYANTA_WORKER_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


def key(worker: Worker) -> str:
    return worker._key


def test_the_key_comes_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("of-the-file\n")
    monkeypatch.setenv("NIYANTA_WORKER_KEY_FILE", str(file))
    assert key(Worker.from_environment()) == "of-the-file"
    assert key(Worker.from_environment(key="given")) == "given"
    monkeypatch.setenv("NIYANTA_WORKER_KEY", "set-too")
    with pytest.raises(ValueError, match="NIYANTA_WORKER_KEY_FILE: NIYANTA_WORKER_KEY is set too"):
        Worker.from_environment()


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_file_without_a_key_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("NIYANTA_WORKER_KEY_FILE", str(file))
    with pytest.raises(ValueError, match="NIYANTA_WORKER_KEY_FILE: "):
        Worker.from_environment()


def test_a_worker_needs_a_key() -> None:
    with pytest.raises(ValueError, match="set NIYANTA_WORKER_KEY"):
        Worker.from_environment()
