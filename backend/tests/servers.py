"""Real servers on loopback that do what a test tells them, and remember what they were sent."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from app.kit.clock import utc_now

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(talk: Talk, tls: SSLContext | None = None) -> AsyncIterator[int]:
    """The port on which `talk` serves each connection; they are cut at the end."""
    tasks = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await talk(reader, writer)
        finally:
            tasks.discard(task)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 22, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class HttpServer:
    """Answers with the next of `answers` (raw bytes; the last one again and again)."""

    answers: list[bytes]
    port: int = 0
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    hang: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.requests.append((head[0], headers, body))
        if self.hang:
            await reader.read()
            return
        writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
        await writer.drain()


def http_answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


@asynccontextmanager
async def http_server(*answers: bytes, tls: SSLContext | None = None) -> AsyncIterator[HttpServer]:
    server = HttpServer(list(answers) or [http_answer(200)])
    async with listening(server.talk, tls) as server.port:
        yield server


def certificate(folder: Path, name: str, days: int = 1) -> tuple[SSLContext, Path]:
    """What a server called `name` needs, and the file that makes a client trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(utc_now() - timedelta(days=30))
        .not_valid_after(utc_now() + timedelta(days=days, hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / f"{name}.crt", folder / f"{name}.key"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, public


def passing_on(host: str, port: int, tls: SSLContext | None = None) -> Talk:
    """What speaks for the server there. With `tls` as PostgreSQL does, whose clients ask for TLS in the clear."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if tls is not None:
            assert await reader.readexactly(8) == b"\0\0\0\x08\x04\xd2\x16\x2f"  # SSLRequest
            writer.write(b"S")
            await writer.start_tls(tls)
        above_reader, above_writer = await asyncio.open_connection(host, port)
        try:
            await asyncio.gather(_pass(reader, above_writer), _pass(above_reader, writer))
        finally:
            above_writer.close()
            with suppress(AttributeError):  # Python 3.11, of one that has ended
                writer.transport.abort()  # an idle client would not answer the farewell of TLS

    return talk


def redis_by_tls(url: str, port: int) -> str:
    """The address of the same Redis, behind what speaks TLS for it on this port of `localhost`."""
    parts = urlsplit(url)
    return parts._replace(scheme="rediss", netloc=f"{parts.netloc.rpartition('@')[0]}@localhost:{port}").geturl()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@dataclass
class SmtpServer:
    """Takes messages, or answers a command as `replies` says: `{"RCPT": "550 5.1.1 nobody"}`. "CUT" hangs up."""

    replies: dict[str, str] = field(default_factory=dict)
    tls: SSLContext | None = None
    extensions: tuple[str, ...] = ("8BITMIME",)
    port: int = 0
    messages: list[tuple[str, str, bytes]] = field(default_factory=list)
    """Envelope sender, envelope recipient, data."""
    commands: list[str] = field(default_factory=list)
    encrypted: bool = False
    signed_in: str = ""
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender = recipient = ""
        self.encrypted = False
        if not await self._say(writer, "CONNECT", "220 loopback ready"):
            return
        while line := (await reader.readline()).decode().rstrip("\r\n"):
            self.commands.append(line)
            verb = line.split()[0].upper()
            match verb:
                case "EHLO":
                    offered = [*self.extensions, *(["STARTTLS"] if self.tls and not self.encrypted else [])]
                    usual = "".join(f"250-{name}\r\n" for name in ("loopback", *offered)) + "250 AUTH PLAIN"
                case "STARTTLS":
                    usual = "220 go on"
                case "AUTH":
                    usual, self.signed_in = "235 welcome", base64.b64decode(line.split()[2]).decode()
                case "MAIL":
                    usual, sender = "250 ok", line[len("MAIL FROM:<") :].split(">")[0]
                case "RCPT":
                    usual, recipient = "250 ok", line[len("RCPT TO:<") :].split(">")[0]
                case "DATA":
                    usual = "354 go on"
                case "QUIT":
                    usual = "221 bye"
                case _:
                    usual = "250 ok"
            if not await self._say(writer, verb, usual):
                return
            if verb == "STARTTLS" and "STARTTLS" not in self.replies:
                assert self.tls is not None
                await writer.start_tls(self.tls)
                self.encrypted = True
            if verb == "DATA" and "DATA" not in self.replies:
                data = await reader.readuntil(b"\r\n.\r\n")
                self.messages.append((sender, recipient, data[:-3].replace(b"\r\n..", b"\r\n.")))
                self.taken.set()
                await self.may_answer.wait()
                if not await self._say(writer, "END", "250 taken"):
                    return

    async def _say(self, writer: asyncio.StreamWriter, verb: str, usual: str) -> bool:
        reply = self.replies.get(verb, usual)
        if reply != "CUT":
            writer.write(f"{reply}\r\n".encode())
            await writer.drain()
        return reply != "CUT"


@asynccontextmanager
async def smtp_server(tls: SSLContext | None = None, **replies: str) -> AsyncIterator[SmtpServer]:
    server = SmtpServer(replies, tls)
    server.may_answer.set()
    async with listening(server.talk) as server.port:
        yield server
