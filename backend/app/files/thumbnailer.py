"""A program of its own: reads an image from standard input, writes its thumbnails to standard output.

`imaging` starts it, with the limits as JSON in the first argument. It answers with a line of JSON for each thumbnail, the
bytes behind it, or with one line that says why not. It imports nothing of the application and sees none of its secrets.
"""

from __future__ import annotations

import io
import json
import resource
import sys
import warnings
from typing import Any

from PIL import GifImagePlugin, Image, ImageOps, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

FORMATS = [
    plugin.format
    for plugin in (
        PngImagePlugin.PngImageFile,
        JpegImagePlugin.JpegImageFile,
        GifImagePlugin.GifImageFile,
        WebPImagePlugin.WebPImageFile,
    )
]
"""No others: what is not imported cannot be attacked."""


def main() -> None:
    limits = json.loads(sys.argv[1])
    memory, seconds = limits["memory"], limits["cpu_seconds"]
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))  # at the second one the kernel kills without a word
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    Image.MAX_IMAGE_PIXELS = None  # the limit is ours, below
    warnings.simplefilter("ignore")
    try:
        _make(limits)
    except (MemoryError, Image.DecompressionBombError):
        _say({"refused": "image_too_large"})
    except BrokenPipeError:
        return
    except Exception:  # noqa: BLE001  decoders raise anything; which one does not matter
        _say({"refused": "image_unreadable"})


def _make(limits: dict[str, Any]) -> None:
    image: Image.Image = Image.open(io.BytesIO(sys.stdin.buffer.read()), formats=FORMATS)
    if image.width * image.height > limits["max_pixels"]:
        _say({"refused": "image_too_large"})
        return
    sizes = sorted(limits["sizes"].items(), key=lambda one: one[1], reverse=True)
    image = _clean(image, sizes[0][1])
    for size, side in sizes:
        image.thumbnail((side, side), reducing_gap=2.0)
        content = io.BytesIO()
        image.save(content, "WEBP", quality=80)
        _say({"size": size, "width": image.width, "height": image.height, "bytes": content.tell()}, content.getvalue())


def _clean(image: Image.Image, side: int) -> Image.Image:
    """Upright, in RGB or RGBA, without metadata; scaled down first, so that what is copied then is small."""
    if image.mode in {"1", "P", "PA"}:  # no colours that could be mixed
        image = image.convert(_mode(image))
    elif image.mode == "I;16":  # converting alone would make white of all that is above 255
        image = image.point(lambda grey: grey / 256).convert("L")
    image.thumbnail((side, side), reducing_gap=2.0)
    ImageOps.exif_transpose(image, in_place=True)
    image = image.convert(_mode(image))
    image.info = {}
    return image


def _mode(image: Image.Image) -> str:
    return "RGBA" if image.has_transparency_data else "RGB"


def _say(fields: dict[str, Any], content: bytes = b"") -> None:
    sys.stdout.buffer.write(json.dumps(fields).encode() + b"\n" + content)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
