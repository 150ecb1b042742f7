"""What a worker reads from the environment."""

from __future__ import annotations

import os
from pathlib import Path


def secret(name: str) -> str:
    """Returns the value of a variable, or the content of the file that the variable with the suffix
    _FILE names, without the white space around it. Neither: ""."""
    value, path = os.environ.get(name, ""), os.environ.get(name + "_FILE", "")
    if not path:
        return value
    if value:
        raise ValueError(f"{name}_FILE: {name} is set too; which one holds?")
    try:
        value = Path(path).read_text().strip()
    except (OSError, ValueError) as e:
        raise ValueError(f"{name}_FILE: {e}") from e
    if not value:
        raise ValueError(f"{name}_FILE: {path} is empty")
    return value
