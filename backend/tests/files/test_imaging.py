"""Thumbnails of real images and of hostile bytes, made by the process that decodes them."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from app.files import imaging
from app.files.imaging import ImageRefused
from app.infra.settings import Settings

SETTINGS = Settings(secret_key="x" * 32, _env_file=None)
ORIENTATION, DESCRIPTION = 0x0112, 0x010E


async def made_of(content: bytes, settings: Settings = SETTINGS) -> dict[str, Image.Image]:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 100_000):
            yield content[start : start + 100_000]

    return {one.size: Image.open(io.BytesIO(one.content)) async for one in imaging.thumbnails(pieces(), settings)}


async def refused(content: bytes, settings: Settings = SETTINGS) -> str:
    with pytest.raises(ImageRefused) as caught:
        await made_of(content, settings)
    return caught.value.code


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("mode", "kind", "colour", "expected"),
    [
        ("RGB", "PNG", (200, 10, 10), (200, 10, 10)),
        ("RGB", "JPEG", (200, 10, 10), (200, 10, 10)),
        ("RGB", "WEBP", (200, 10, 10), (200, 10, 10)),
        ("RGB", "GIF", (200, 10, 10), (200, 10, 10)),
        ("RGBA", "PNG", (200, 10, 10, 128), (200, 10, 10, 128)),
        ("RGBA", "WEBP", (200, 10, 10, 128), (200, 10, 10, 128)),
        ("LA", "PNG", (90, 128), (90, 90, 90, 128)),
        ("L", "JPEG", 90, (90, 90, 90)),
        ("1", "PNG", 1, (255, 255, 255)),
        ("CMYK", "JPEG", (0, 255, 255, 0), (255, 0, 0)),
        ("I;16", "PNG", 40_000, (156, 156, 156)),
    ],
)
async def test_an_image_of_any_kind_becomes_small_and_keeps_its_colours(mode, kind, colour, expected):
    made = await made_of(encoded(Image.new(mode, (700, 350), colour), kind))

    assert {size: image.size for size, image in made.items()} == {
        "large": (700, 350),
        "medium": (512, 256),
        "small": (128, 64),
    }
    for image in made.values():
        assert (image.format, image.getpixel((60, 30))) == ("WEBP", pytest.approx(expected, abs=6))


async def test_an_image_is_turned_as_its_camera_was_held_and_loses_what_the_camera_said():
    photo = Image.new("RGB", (400, 200), "blue")
    photo.paste("red", (0, 0, 200, 200))
    exif = Image.Exif()
    exif[ORIENTATION], exif[DESCRIPTION] = 6, "somebody's street"  # 6: turn it right by 90 degrees
    small = (await made_of(encoded(photo, "JPEG", exif=exif, quality=95)))["small"]

    assert small.size == (64, 128)
    assert small.getpixel((32, 20))[0] > 200
    assert small.getpixel((32, 108))[2] > 200
    assert dict(small.getexif()) == {}
    assert not {"exif", "xmp", "icc_profile", "comment"} & set(small.info)


async def test_text_and_profiles_of_a_png_are_left_behind():
    words = PngImagePlugin.PngInfo()
    words.add_text("Comment", "somebody's street")
    content = encoded(Image.new("RGB", (10, 10)), "PNG", pnginfo=words, icc_profile=b"a profile")
    made = await made_of(content)

    assert all(not {"Comment", "icc_profile"} & set(image.info) for image in made.values())


async def test_of_a_moving_image_the_first_frame_is_shown():
    frames = [Image.new("RGB", (200, 100), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "WEBP"):
        small = (await made_of(encoded(frames[0], kind, save_all=True, append_images=frames[1:])))["small"]

        assert getattr(small, "n_frames", 1) == 1
        assert small.getpixel((50, 50))[0] > 200


async def test_an_image_with_more_pixels_than_allowed_is_refused_before_it_is_decoded():
    side = 60_000
    bomb = png(side, side, chunk(b"IDAT", zlib.compress(b"\0" * 1_000_000)))

    assert await refused(bomb) == "image_too_large"
    settings = SETTINGS.model_copy(update={"image_max_pixels": 99})
    assert await refused(encoded(Image.new("L", (10, 10)), "GIF"), settings) == "image_too_large"


async def test_decoding_ends_at_the_memory_that_it_may_have():
    settings = SETTINGS.model_copy(update={"image_memory_bytes": 1 << 28, "image_max_pixels": 10**9})
    content = encoded(Image.new("RGB", (10_000, 10_000)), "PNG", compress_level=1)

    assert await refused(content, settings) == "image_too_large"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
async def test_the_largest_image_fits_into_the_memory(mode):
    side = int(SETTINGS.image_max_pixels**0.5)

    assert len(await made_of(encoded(Image.new(mode, (side, side)), "PNG", compress_level=1))) == 3


async def test_a_small_file_that_unpacks_to_a_large_one_is_refused():
    zeros = zlib.compress(b"\0" * 200_000_000)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 301 * 100))
    for name in (b"zTXt", b"iCCP"):
        assert await refused(png(100, 100, chunk(name, b"a\0\0" + zeros), pixels)) == "image_unreadable"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"\xff\xd8\xff\xe0",
        b"RIFF\x04\x00\x00\x00WEBP",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    ],
)
async def test_what_is_no_image_of_ours_is_refused(content):
    assert await refused(content) == "image_unreadable"


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "ICO", "PPM"])
async def test_another_kind_of_image_is_refused(kind):
    assert await refused(encoded(Image.new("RGB", (20, 20)), kind)) == "image_unreadable"


REAL = {
    kind: encoded(Image.effect_noise((60, 40), 80), kind, **options)
    for kind, options in {"PNG": {}, "JPEG": {"progressive": True}, "GIF": {}, "WEBP": {}}.items()
}


@hypothesis_settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(REAL)), st.data())
def test_damage_is_survived_or_refused_with_a_code(kind, data):
    content = bytearray(REAL[kind])
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    try:
        made = asyncio.run(made_of(bytes(content[:cut])))
    except ImageRefused as error:
        assert error.code in {"image_unreadable", "image_too_large"}
    else:
        assert set(made) == set(imaging.SIZES)


async def test_an_image_that_takes_too_long_to_decode_is_refused(monkeypatch):
    monkeypatch.setattr(imaging, "CPU_SECONDS", 1)
    content = encoded(Image.new("RGB", (4000, 4000)), "JPEG", progressive=True)
    scan = content[content.rindex(b"\xff\xda") : -2]  # a few bytes, and each is a pass over all pixels

    assert await refused(content[:-2] + scan * 3000 + content[-2:]) == "image_too_large"


async def test_an_end_of_the_decoder_from_outside_is_no_fault_of_the_image(monkeypatch, tmp_path):
    suicide = tmp_path / "suicide.py"
    suicide.write_text("import os, signal, sys\nsys.stdin.buffer.read()\nos.kill(os.getpid(), signal.SIGKILL)\n")
    monkeypatch.setattr(imaging, "_PROGRAM", suicide)

    with pytest.raises(RuntimeError, match="killed from outside"):
        await made_of(REAL["PNG"])


async def test_a_decoder_that_is_given_up_is_ended(monkeypatch, tmp_path):
    endless = tmp_path / "endless.py"
    endless.write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(imaging, "_PROGRAM", endless)
    processes: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def remembering(*args, **options):
        processes.append(await start(*args, **options))
        return processes[0]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", remembering)
    task = asyncio.create_task(made_of(REAL["PNG"]))
    while not processes:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert processes[0].returncode == -9
