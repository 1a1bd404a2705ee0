# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is sent to the services of tests/apps, and what their answers must look like."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import html
import io
import json
import random
import re
import struct
import tarfile
import time
import zlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from http11 import Client, RequestError, Response, cookies_of, multipart
from records import Log, Promise, Record

HOSTS = {"httpbin": "httpbin.test", "pypiserver": "pypi.test", "guestbook": "guestbook.test", "static": "guestbook.test"}
UPLOAD_AUTH = "uploader:CANARY-upload-password-3fb0d2"
"""The user of tests/apps/secrets.yml who may upload packages."""

Check = Callable[[Response], str | None]


class Unready(Exception):
    """A service does not answer before the load begins."""


@dataclass
class Visitor:
    """A browser's memory of the guestbook: its cookies."""

    cookies: dict[str, str] = field(default_factory=dict)

    def headers(self) -> dict[str, str]:
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}


def length(size: int) -> Check:
    return lambda response: None if len(response.body) == size else f"body of {len(response.body)} bytes instead of {size}"


def holds(text: bytes) -> Check:
    return lambda response: None if text in response.body else f"body lacks {text.decode()!r}"


def lines(number: int) -> Check:
    return lambda response: None if response.body.count(b"\n") == number else f"{response.body.count(bytes([10]))} lines instead of {number}"


def digest(sha256: str) -> Check:
    return lambda response: None if hashlib.sha256(response.body).hexdigest() == sha256 else "the body's SHA-256 is wrong"


def is_json(response: Response) -> str | None:
    try:
        json.loads(response.body)
    except ValueError as exc:
        return f"the body is not JSON: {exc}"
    return None


def session_kept(response: Response) -> str | None:
    """A visitor who has been there before must not be greeted as new."""
    found = re.search(rb"been here (\d+) time", response.body)
    if not found:
        return "body lacks the visits"
    return "the session is lost: first visit again" if found[1] == b"1" else None


def png(rng: random.Random, side: int = 24) -> bytes:
    """A small picture of noise; no two are alike."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + rng.randbytes(3 * side) for dummy in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def sdist(rng: random.Random, name: str, version: str) -> bytes:
    """A small source distribution; no two are alike."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        for path, content in (("PKG-INFO", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()), ("noise", rng.randbytes(2048))):
            member = tarfile.TarInfo(f"{name}-{version}/{path}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


class Mix:
    """Sends one request, or one short conversation, of a kind; each request becomes one record."""

    PROJECTS = 10
    VISITORS = 5

    def __init__(self, client: Client, log: Log, ledger: Log, upload_auth: str = UPLOAD_AUTH, seed: int | None = None) -> None:
        self.client = client
        self.log = log
        self.ledger = ledger
        self.rng = random.Random(seed)
        self.run = f"{int(time.time()):x}{self.rng.randrange(16**3):03x}"
        self.auth = {"Authorization": "Basic " + base64.b64encode(upload_auth.encode()).decode()}
        self.visitors = [Visitor() for dummy in range(self.VISITORS)]
        self.uploaded: list[Promise] = []
        self.pictures: list[str] = []
        self.sent = self.failed = self.serial = 0

    async def shot(self, service: str, kind: str, target: str, *, method: str = "GET", status: int = 200, check: Check | None = None,
                   headers: dict[str, str] | None = None, body: bytes = b"") -> Response | None:
        """Send one request over a new or a kept connection, judge and record it; None when it failed."""
        keep = self.rng.random() < 0.5
        at, begin = time.time(), time.perf_counter()
        response: Response | None = None
        error: str | None = None
        try:
            response = await self.client.request(method, HOSTS[service], target, headers, body, keep)
        except RequestError as exc:
            error = str(exc)
        ms = round((time.perf_counter() - begin) * 1000, 2)
        if response is not None:
            error = f"status {response.status} instead of {status}" if response.status != status else check(response) if check else None
        self.log.write(Record(round(at, 4), service, kind, response.status if response else None, ms, error, keep))
        self.sent += 1
        self.failed += error is not None
        return response if error is None else None

    async def prepare(self, services: set[str]) -> None:
        """Wait until each service answers, and let each visitor come a first time; raises Unready."""
        paths = {"httpbin": "/status/200", "pypiserver": "/health", "guestbook": "/"}
        for service in sorted(services & paths.keys()):
            try:
                answer = await self.client.request("GET", HOSTS[service], paths[service])
            except RequestError as exc:
                raise Unready(f"{service} at {self.client.address}: {exc}") from exc
            if answer.status != 200:
                raise Unready(f"{service} answers GET {paths[service]} with status {answer.status}")
        if "guestbook" in services:
            for visitor in self.visitors:
                visitor.cookies |= cookies_of([await self.client.request("GET", HOSTS["guestbook"], "/")])

    # httpbin

    async def get(self) -> None:
        await self.shot("httpbin", "get", f"/get?n={self.rng.randrange(10**6)}", check=holds(b'"url"'))

    async def status(self) -> None:
        await self.shot("httpbin", "status", "/status/200")

    async def stream(self) -> None:
        await self.shot("httpbin", "stream", "/stream/10", check=lines(10))

    async def bytes(self) -> None:
        size = self.rng.randrange(1, 4096)
        await self.shot("httpbin", "bytes", f"/bytes/{size}", check=length(size))

    async def redirect(self) -> None:
        value = f"{self.rng.randrange(10**9)}"
        first = await self.shot("httpbin", "set-cookie", f"/cookies/set?load={value}", status=302)
        if first is not None:
            jar = Visitor(cookies_of([first]))
            await self.shot("httpbin", "redirected", first.get("location", "/nowhere"), headers=jar.headers(), check=holds(value.encode()))

    async def delay(self) -> None:
        await self.shot("httpbin", "delay", "/delay/2")

    # pypiserver

    async def simple(self) -> None:
        await self.shot("pypiserver", "simple", "/simple/", check=holds(b"</html>"))

    async def project(self) -> None:
        if self.uploaded:
            promise = self.rng.choice(self.uploaded)
            await self.shot("pypiserver", "project", f"/simple/{promise.project}/", check=holds(promise.name.encode()))

    async def download(self) -> None:
        if self.uploaded:
            promise = self.rng.choice(self.uploaded)
            await self.shot("pypiserver", "download", f"/packages/{promise.name}", check=digest(promise.sha256))

    async def upload(self) -> None:
        self.serial += 1
        name, version = f"load_{self.run}_{self.serial % self.PROJECTS}", f"1.{self.serial}"
        content = sdist(self.rng, name, version)
        promise = Promise("package", f"{name}-{version}.tar.gz", name.replace("_", "-"), hashlib.sha256(content).hexdigest())
        content_type, body = multipart({":action": "file_upload", "name": name, "version": version},
                                       {"content": (promise.name, "application/gzip", content)}, self._boundary())
        if await self.shot("pypiserver", "upload", "/", method="POST", headers={"Content-Type": content_type, **self.auth}, body=body):
            self.ledger.write(promise)
            self.uploaded.append(promise)

    # guestbook

    async def entries(self) -> None:
        visitor = self.rng.choice(self.visitors)
        await self.shot("guestbook", "list", "/", headers=visitor.headers(), check=session_kept)

    async def slow(self) -> None:
        await self.shot("guestbook", "slow", "/slow", check=holds(b"2 seconds"))

    async def sign(self) -> None:
        """Fetch the form as its visitor would, and send it with a picture."""
        visitor = Visitor(dict(self.rng.choice(self.visitors).cookies))
        form = await self.shot("guestbook", "form", "/sign", headers=visitor.headers(), check=holds(b"csrfmiddlewaretoken"))
        token = re.search(rb'name="csrfmiddlewaretoken" value="([^"]+)"', form.body) if form else None
        if form is None or token is None:
            return
        visitor.cookies |= cookies_of([form])
        self.serial += 1
        picture = png(self.rng)
        promise = Promise("entry", f"load {self.run} entry {self.serial}", "", hashlib.sha256(picture).hexdigest())
        content_type, body = multipart({"csrfmiddlewaretoken": html.unescape(token[1].decode()), "text": promise.name},
                                       {"picture": (f"{self.run}-{self.serial}.png", "image/png", picture)}, self._boundary())
        headers = {"Content-Type": content_type, **visitor.headers()}
        if await self.shot("guestbook", "sign", "/sign", method="POST", status=302, headers=headers, body=body):
            self.ledger.write(promise)

    async def pictures_list(self) -> None:
        """Learn the uploaded pictures' addresses, for ``media``."""
        answer = await self.shot("guestbook", "json", "/entries.json", check=is_json)
        if answer is not None:
            self.pictures = [entry["picture"] for entry in json.loads(answer.body)["entries"] if entry["picture"]][-50:]

    # files that nginx serves itself

    async def style(self) -> None:
        await self.shot("static", "style", "/static/entries/style.css", check=holds(b".entries"))

    async def media(self) -> None:
        if self.pictures:
            await self.shot("static", "media", self.rng.choice(self.pictures), check=holds(b"PNG"))

    def _boundary(self) -> str:
        return f"load{self.rng.randrange(16**16):016x}"


@dataclass(frozen=True)
class Kind:
    """``rate`` is in conversations per second; those of ``share`` divide what is left of the whole rate."""

    service: str
    action: Callable[[Mix], Coroutine[Any, Any, None]]
    rate: float = 0.0
    share: float = 0.0
    requests: int = 1


KINDS = (
    Kind("httpbin", Mix.delay, rate=2),
    Kind("pypiserver", Mix.upload, rate=0.1),  # pypiserver takes longer for each answer with each package
    Kind("pypiserver", Mix.project, rate=1),
    Kind("pypiserver", Mix.download, rate=2),
    Kind("guestbook", Mix.slow, rate=1),
    Kind("guestbook", Mix.sign, rate=1, requests=2),
    Kind("guestbook", Mix.pictures_list, rate=0.1),
    Kind("httpbin", Mix.get, share=13),
    Kind("httpbin", Mix.status, share=13),
    Kind("httpbin", Mix.stream, share=6),
    Kind("httpbin", Mix.bytes, share=13),
    Kind("httpbin", Mix.redirect, share=4, requests=2),
    Kind("pypiserver", Mix.simple, share=2),  # takes longer with each upload; the next takes longest
    Kind("guestbook", Mix.entries, share=3),
    Kind("static", Mix.style, share=46),
    Kind("static", Mix.media, share=16),
)


def rates(kinds: tuple[Kind, ...], total: float) -> list[tuple[Kind, float]]:
    """Conversations per second of each kind, so that all requests together come to ``total`` per second.

    The fixed rates are taken as they are; when they alone exceed ``total``, all are scaled down to it.
    """
    fixed = sum(kind.rate * kind.requests for kind in kinds)
    if fixed >= total:
        return [(kind, kind.rate * total / fixed) for kind in kinds if kind.rate]
    shares = sum(kind.share * kind.requests for kind in kinds)
    unit = (total - fixed) / shares if shares else 0.0
    return [(kind, kind.rate or kind.share * unit) for kind in kinds]


async def send_forever(mix: Mix, plan: list[tuple[Kind, float]], stop: asyncio.Event) -> list[float]:
    """Start conversations at their own pace, whatever the answers do (open loop), until ``stop``; then await them all.

    Arrivals of each kind are a Poisson process. Returns by how many milliseconds each start was late.
    """
    clock = asyncio.get_running_loop().time
    begin = clock()
    due = [(begin + mix.rng.expovariate(rate), kind, rate) for kind, rate in plan]
    running: set[asyncio.Task[None]] = set()
    broken: list[BaseException] = []
    late = []

    def ended(task: asyncio.Task[None]) -> None:
        running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            broken.append(error)  # a fault of the generator itself: a service's are records
            stop.set()

    while not stop.is_set():
        when, kind, rate = min(due, key=lambda item: item[0])
        wait = when - clock()
        if wait > 0:
            await asyncio.sleep(min(wait, 0.2))
            if clock() < when:
                continue
        due[due.index((when, kind, rate))] = (when + mix.rng.expovariate(rate), kind, rate)
        late.append((clock() - when) * 1000)
        task = asyncio.create_task(kind.action(mix))
        running.add(task)
        task.add_done_callback(ended)
    await asyncio.gather(*running)
    if broken:
        raise broken[0]
    return late
