"""What a session id and an idempotency key look like; both are anchored, for use in JSON schemas too.

Match with `fullmatch`: `$` alone would let a line break through.
"""

import re
from typing import Final

SESSION_ID: Final = re.compile(r"^[A-Za-z0-9_-]{1,128}$")
"""Ids stand in a path unescaped and cannot be `.` or `..`."""

IDEMPOTENCY_KEY: Final = re.compile(r"^[\x21-\x7e]{1,255}$")
"""Printable ASCII without spaces."""
