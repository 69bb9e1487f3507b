"""What is sealed opens with its key and its name, whole, or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.recovery.errors import BackupError
from app.recovery.sealing import fingerprint, seal, unseal

KEY = b"k" * 32


async def pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def sealed(content: bytes, size: int = 10_000) -> bytes:
    return b"".join([chunk async for chunk in seal(KEY, "a", pieces(content, size))])


async def opened(content: bytes, key: bytes = KEY, name: str = "a", size: int = 7_777) -> bytes:
    return b"".join([chunk async for chunk in unseal(key, name, pieces(content, size))])


@given(st.sampled_from([0, 1, 65_535, 65_536, 65_537, 131_072, 200_000]), st.sampled_from([1_000, 65_536, 1 << 20]))
async def test_what_goes_in_comes_out(length: int, size: int) -> None:
    content = bytes(number % 251 for number in range(length))
    assert await opened(await sealed(content, size), size=size) == content


@pytest.mark.parametrize(
    "change",
    [
        lambda whole: whole[:-1],
        lambda whole: whole[: 16 + 65_552],  # the whole first chunk, and no more
        lambda whole: whole[:16],
        lambda _: b"",
        lambda whole: whole[:16] + whole[16 + 65_552 : 16 + 131_104] + whole[16 : 16 + 65_552] + whole[16 + 131_104 :],
        lambda whole: whole[:50] + bytes([whole[50] ^ 1]) + whole[51:],
        lambda whole: bytes([whole[0] ^ 1]) + whole[1:],
    ],
)
async def test_what_was_changed_moved_or_cut_does_not_open(change) -> None:
    with pytest.raises(BackupError, match="cannot be opened"):
        await opened(change(await sealed(b"x" * 150_000)))


async def test_another_key_or_another_name_does_not_open_it() -> None:
    whole = await sealed(b"content")
    for key, name in ((b"x" * 32, "a"), (KEY, "b")):
        with pytest.raises(BackupError):
            await opened(whole, key, name)
    assert fingerprint(KEY) != fingerprint(b"x" * 32)
