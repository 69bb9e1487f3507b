"""Stored files on disk and in a bucket: a small server speaks the part of S3's protocol that is used."""

from __future__ import annotations

import re
import resource
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from app.infra.settings import Settings
from app.infra.storage import SHELVES, Storage, StorageUnavailable

MODIFIED = "Wed, 21 Oct 2020 07:28:00 GMT"
SIZE = 12_000_000
"""More than two parts of a multipart upload."""


class Bucket(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    parts: dict[str, dict[int, bytes]]

    def log_message(self, *_: Any) -> None:
        return

    def serve(self) -> None:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        key = url.path.removeprefix("/bucket").removeprefix("/")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        match self.command:
            case "POST" if "uploads" in query:
                self.parts[key] = {}
                self.say(200, b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>")
            case "POST" if "delete" in query:
                wanted = re.findall(r"<Key>(.*?)</Key>", body.decode())
                for one in wanted:
                    self.objects.pop(one, None)
                done = "".join(f"<Deleted><Key>{one}</Key></Deleted>" for one in wanted)
                self.say(200, f"<DeleteResult>{done}</DeleteResult>".encode())
            case "PUT" if "partNumber" not in query:
                self.objects[key] = body
                self.say(200)
            case "PUT":
                self.parts[key][int(query["partNumber"])] = body
                self.say(200)
            case "POST":
                self.objects[key] = b"".join(part for _, part in sorted(self.parts.pop(key).items()))
                self.say(200, b'<CompleteMultipartUploadResult><ETag>"1"</ETag></CompleteMultipartUploadResult>')
            case "DELETE":
                del self.parts[key]
                self.say(204)
            case _ if query.get("delimiter") == "/":
                self.say(200, self.folders(query.get("prefix", "")))
            case _ if "list-type" in query:
                self.say(200, self.listed(query.get("prefix", "")))
            case _ if key not in self.objects:
                self.say(404, b"<Error><Code>NoSuchKey</Code></Error>")
            case _:
                self.send_object(self.objects[key])

    do_GET = do_PUT = do_POST = do_DELETE = serve  # noqa: N815  the names that http.server calls

    def listed(self, prefix: str) -> bytes:
        entries = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2020-10-21T07:28:00.000Z</LastModified>"
            f'<Size>{len(content)}</Size><ETag>"1"</ETag></Contents>'
            for key, content in self.objects.items()
            if key.startswith(prefix)
        )
        return f"<ListBucketResult>{entries}<IsTruncated>false</IsTruncated></ListBucketResult>".encode()

    def folders(self, prefix: str) -> bytes:
        names = {prefix + key.removeprefix(prefix).split("/")[0] for key in self.objects if key.startswith(prefix)}
        found = "".join(f"<CommonPrefixes><Prefix>{name}/</Prefix></CommonPrefixes>" for name in sorted(names))
        return f"<ListBucketResult>{found}<IsTruncated>false</IsTruncated></ListBucketResult>".encode()

    def send_object(self, content: bytes) -> None:
        if (wanted := self.headers.get("Range")) is None:
            self.say(200, content)
            return
        first, last = (int(one) for one in wanted.removeprefix("bytes=").split("-"))
        self.say(206, content[first : last + 1], **{"Content-Range": f"bytes {first}-{last}/{len(content)}"})

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"ETag": '"1"', "Last-Modified": MODIFIED} | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Bucket]]:
    handler = type("Handler", (Bucket,), {"objects": {}, "parts": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    for name, value in {
        "ACCESS_KEY_ID": "somebody",
        "SECRET_ACCESS_KEY": "something",
        "REGION": "eu-central-1",
        "ENDPOINT": f"http://127.0.0.1:{server.server_port}",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(params=["disk", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path, bucket) -> Storage:
    where = {"storage_dir": str(tmp_path)} if request.param == "disk" else {"storage_url": "s3://bucket/our/folder"}
    return Storage(Settings(secret_key="x" * 32, _env_file=None, **where))


async def chunks(size: int = SIZE) -> AsyncIterator[bytes]:
    for start in range(0, size, 1_000_000):
        yield bytes([start // 1_000_000]) * min(1_000_000, size - start)


async def test_what_was_written_is_read_back_whole_and_in_part(storage) -> None:
    stored = await storage.put(chunks())
    part = b"".join([piece async for piece in await storage.open(stored.key, 999_999, 7_000_001)])
    whole = b"".join([piece async for piece in chunks()])

    assert stored.size == SIZE
    assert await storage.get(stored.key) == whole
    assert part == whole[999_999:7_000_001]


async def test_a_shelf_lists_its_files_with_their_time(storage) -> None:
    keys = {(await storage.put(chunks(10))).key for _ in range(3)}
    found = [await storage.shelf(shelf) for shelf in {key.split("/")[0] for key in keys}]

    assert {key for shelf in found for key in shelf} == keys
    assert all(moment.tzinfo for shelf in found for moment in shelf.values())
    assert {key.split("/")[0] for key in keys} <= set(SHELVES)


async def test_what_is_deleted_is_gone_and_may_be_deleted_again(storage) -> None:
    key = (await storage.put(chunks(10))).key
    await storage.delete(key)
    await storage.delete(key)

    with pytest.raises(FileNotFoundError):
        await storage.get(key)
    with pytest.raises(FileNotFoundError):
        await storage.open(key, 0, 1)


async def test_an_upload_that_breaks_off_leaves_nothing(storage, bucket, tmp_path) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        async for chunk in chunks():
            yield chunk
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await storage.put(breaking())

    assert (bucket.objects, bucket.parts) == ({}, {})
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_files_in_a_bucket_stay_in_its_folder(bucket) -> None:
    storage = Storage(Settings(secret_key="x" * 32, _env_file=None, storage_url="s3://bucket/our/folder"))
    stored = await storage.put(chunks(10))

    assert list(bucket.objects) == [f"our/folder/{stored.key}"]


async def test_a_disk_that_takes_no_more_is_trouble_that_passes(tmp_path) -> None:
    storage = Storage(Settings(secret_key="x" * 32, _env_file=None, storage_dir=str(tmp_path)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # SIGXFSZ is ignored by Python: the write fails
    try:
        with pytest.raises(StorageUnavailable):
            await storage.put(chunks())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_bucket_that_is_not_there_is_trouble_that_passes(bucket, monkeypatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        storage = Storage(Settings(secret_key="x" * 32, _env_file=None, storage_url="s3://bucket"))
        for asking in (storage.put(chunks(10)), storage.get("00/1"), storage.open("00/1", 0, 1), storage.shelf("00")):
            with pytest.raises(StorageUnavailable):
                await asking
