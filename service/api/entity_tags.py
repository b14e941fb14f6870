"""`If-Match` as RFC 9110 writes it: `*`, or a list of entity tags."""

import re
from typing import Final

from service.errors import BadRequest

ANY: Final = "*"
# One member of the list, which may be empty, with the comma or the end that follows.
_MEMBER: Final = re.compile(
    r'[ \t]*(?:(?P<weak>W/)?"(?P<tag>[\x21\x23-\x7e\x80-\xff]*)"[ \t]*)?(?:,|\Z)'
)


def parse_if_match(header: str) -> tuple[str, ...]:
    """Return the tags that can match, without quotes; `("*",)` for any version.

    Weak tags never match here (RFC 9110, 13.1.1) and are left out, so the tuple may be empty: a
    condition that nothing meets.

    Raises:
        BadRequest: neither `*` nor a list of entity tags.
    """
    if header.strip(" \t") == ANY:
        return (ANY,)
    tags: list[str] = []
    named = False
    position = 0
    while position < len(header):
        member = _MEMBER.match(header, position)
        if member is None:
            break
        position = member.end()
        named = named or member["tag"] is not None
        # A quoted star is a tag that no session ever has, not the star that stands for any.
        if member["tag"] not in {None, ANY} and member["weak"] is None:
            tags.append(member["tag"])
    if not named or position < len(header):
        raise BadRequest(
            "invalid_request", 'If-Match must be * or a list of entity tags, "…".', "If-Match"
        )
    return tuple(tags)
