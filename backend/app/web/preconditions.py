"""Strong entity tags from the version column, and the preconditions made of them (RFC 9110 13)."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header

from app.kit.errors import PreconditionFailed, PreconditionRequired

IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description="The ETag that you read; with another one current, the answer is 412."),
]
IfNoneMatch = Annotated[
    str | None,
    Header(alias="If-None-Match", description="The ETag that you have; while it is current, the answer is 304."),
]


def etag(version: int) -> str:
    return f'"{version}"'


def _tags(header: str) -> list[str]:
    return [tag.strip() for tag in header.split(",")]


def versions(if_match: str | None, *, required: bool = False) -> list[int] | None:
    """The versions that `If-Match` names, for a statement that checks them itself; None: any.

    A tag that is not one of ours (a weak one too, RFC 9110 13.1.1) stands for a version that no row has.
    """
    tags = wanted(if_match, required=required)
    if tags is None:
        return None
    numbers = [tag[1:-1] for tag in tags if len(tag) > 2 and tag[0] == tag[-1] == '"']  # noqa: PLR2004  the quotes
    return [int(number) for number in numbers if number.isascii() and number.isdigit() and len(number) < 10] or [-1]  # noqa: PLR2004


class Stale(PreconditionFailed):
    """Carries the tag of the current representation."""

    def __init__(self, version: int) -> None:
        super().__init__("The resource has changed since you read it; read it again", headers={"ETag": etag(version)})


def wanted(if_match: str | None, *, required: bool) -> list[str] | None:
    """The tags of which one must be current; None: any. Raises PreconditionRequired where one is compulsory."""
    if if_match is None:
        if required:
            raise PreconditionRequired
        return None
    tags = _tags(if_match)
    return None if tags == ["*"] else tags


def require_match(if_match: str | None, version: int, *, required: bool = False) -> None:
    """Raises PreconditionFailed (with the current ETag) or PreconditionRequired. A weak tag never matches (13.1.1)."""
    tags = wanted(if_match, required=required)
    if tags is not None and etag(version) not in tags:
        raise Stale(version)


def not_modified(if_none_match: str | None, version: int) -> bool:
    """Whether the client has this version already."""
    return is_known(if_none_match, etag(version))


def is_known(if_none_match: str | None, tag: str) -> bool:
    """Whether the client has the representation with this tag already; compared weakly (13.1.2)."""
    if if_none_match is None:
        return False
    tags = [one.removeprefix("W/") for one in _tags(if_none_match)]
    return tags == ["*"] or tag in tags
