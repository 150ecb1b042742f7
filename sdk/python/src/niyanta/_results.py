"""Results that are too large: what stands for them, in the form that the API shows."""

from __future__ import annotations

import base64

from . import _codec

# A result above the first size is cut to the second; the API keeps 1 MiB of it.
RESULT_BYTES, RESULT_KEPT = 8 << 20, 512 << 10
# A result above this is cut to its half if what lies on the way refuses the report as too large.
RESULT_LEFT = 4 << 10


def shortened(result: bytes) -> bytes:
    """Returns what stands for a result that is too large."""
    return _standing(result[:RESULT_KEPT], len(result))


def halved(result: bytes) -> bytes:
    """Returns what stands for a result, or for what stands for one already, and holds half as much of it."""
    data, size = _kept(result) or (result[: 2 * RESULT_KEPT], len(result))
    return _standing(data[: len(data) // 2], size)


def _standing(kept: bytes, size: int) -> bytes:
    return _codec.dumps({
        "encoding": "base64", "content_type": "application/json", "reason": "too_large", "size": size,
        "truncated": True, "data": base64.b64encode(kept).decode(),
    })


_FORM = _standing(b"", 0)


def _kept(result: bytes) -> tuple[bytes, int] | None:
    """Returns what is left of a result that was cut, and its size; None: it was not."""
    if not result.startswith(_FORM[: _FORM.index(b"0,")]):
        return None
    try:
        found = _codec.loads(result)
        data, size = base64.b64decode(found["data"], validate=True), found["size"]
    except (ValueError, TypeError, KeyError):
        return None
    return (data, size) if type(size) is int and _standing(data, size) == result else None
