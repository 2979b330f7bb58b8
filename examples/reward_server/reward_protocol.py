"""Serves a scorer of images over HTTP: the server's side of benchbench's reward protocol v1 (docs/http-rewards.md).

It imports nothing of benchbench. Copy this file into the environment of a judge: it needs Python 3.9 or newer,
starlette, uvicorn and Pillow. A judge is one function, in which higher scores are better:

    from reward_protocol import Info, serve

    def score(images, prompts, metadata):  # N RGB images of Pillow, N texts, N dicts with the fields of ``needs``
        return [float(len(prompt)) for prompt in prompts]  # N finite numbers

    serve(score, Info(name="prompt-length", version="1", unit="characters"), port=8000)
"""

from __future__ import annotations

import base64
import io
import json
import math
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

MAX_BODY = 2**28
"""Bytes of a request's body; a longer one is refused before it is read whole."""
MAX_PIXELS = 89_478_485
"""Width times height of an image; a larger one is refused before it is decoded."""
MAX_WAITING = 4
"""Requests that are held in memory at a time; a further one is told to come again in a second."""

Scorer = Callable[[list[Image.Image], list[str], list[dict[str, Any]]], Sequence[float]]
"""Takes N RGB images, N prompts and N objects of metadata, and returns N finite numbers. It is called by one thread at
a time."""


@dataclass(frozen=True)
class Info:
    """The server's facts. Raise ``version`` whenever scores change: scores are filed under it."""

    name: str
    version: str
    unit: str
    needs: tuple[str, ...] = ()  # the fields of metadata that the scorer reads
    max_batch: int = 16  # images of one request at most
    range: tuple[float, float] | None = None  # the usual range of scores
    licence: str = ""
    reads_prompt: bool = True  # False: a score depends on the image alone
    higher_is_better: bool = True  # benchbench refuses False: negate the scores here


class BadRequest(Exception):
    """A request cannot be answered; the message says why, and ``status`` is the answer's HTTP status."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


def serve(
    score: Scorer,
    info: Info,
    host: str = "127.0.0.1",
    port: int = 8000,
    read: Callable[[bytes], Image.Image] | None = None,
) -> None:
    """Serves until Ctrl-C. Port 0 takes a free one; the line that is printed names it.

    ``read`` turns the bytes of a PNG file into an RGB image, and raises any exception for what is none. Raises
    SystemExit where the address cannot be used.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise SystemExit(f"cannot listen on {host}, port {port}: {error}") from error
    shown = f"[{host}]" if family == socket.AF_INET6 else host
    print(f"serving {info.name}, version {info.version}, on http://{shown}:{listening.getsockname()[1]}", flush=True)
    server = uvicorn.Server(uvicorn.Config(make_app(score, info, read), log_level="warning", lifespan="off"))
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        print("stopped", flush=True)


def make_app(score: Scorer, info: Info, read: Callable[[bytes], Image.Image] | None = None) -> Starlette:
    """Returns the ASGI application, for a server of your own."""
    scoring, waiting = threading.Lock(), threading.BoundedSemaphore(MAX_WAITING)

    def answer(body: bytes) -> dict[str, Any]:
        request = parse(body, info, read or read_png)
        with scoring:
            scores = score(*request)
        return {"name": info.name, "version": info.version, "scores": checked(scores, len(request[0]))}

    async def get_info(_: Request) -> JSONResponse:
        return JSONResponse(asdict(info))

    async def post_score(request: Request) -> JSONResponse:
        if not waiting.acquire(blocking=False):
            return refusal(f"{MAX_WAITING} requests are waiting already", 503)
        try:
            return JSONResponse(await run_in_threadpool(answer, await read_body(request)))
        except BadRequest as error:
            return refusal(str(error), error.status)
        except Exception as error:  # whatever a scorer raises is told to the client, which stops there
            return refusal(f"the scorer failed: {type(error).__name__}: {error}", 500)
        finally:
            waiting.release()

    return Starlette(
        routes=[Route("/v1/info", get_info, methods=["GET"]), Route("/v1/score", post_score, methods=["POST"])]
    )


async def read_body(request: Request) -> bytes:
    """Returns the body of a JSON request. Raises BadRequest for another type, and for one above ``MAX_BODY``."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise BadRequest(f"the content type is {kind[:80] or 'not given'}, not application/json", 415)
    parts, size = [], 0
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > MAX_BODY:
        raise BadRequest(f"the body has {declared} bytes, more than {MAX_BODY}", 413)
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY:
            raise BadRequest(f"the body has more than {MAX_BODY} bytes", 413)
        parts.append(part)
    return b"".join(parts)


def parse(
    body: bytes, info: Info, read: Callable[[bytes], Image.Image]
) -> tuple[list[Image.Image], list[str], list[dict[str, Any]]]:
    """Returns images, prompts and metadata of a request. Raises BadRequest, whatever is wrong with it."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise BadRequest("the body is no JSON object")
    lists = []
    for field, kind in (("images", str), ("prompts", str), ("metadata", dict)):
        rows = request.get(field)
        if not isinstance(rows, list) or not all(isinstance(row, kind) for row in rows):
            raise BadRequest(f"{field} is no list of {'objects' if kind is dict else 'texts'}")
        lists.append(rows)
    images, prompts, metadata = lists
    if not len(images) == len(prompts) == len(metadata):
        raise BadRequest(f"{len(images)} images, {len(prompts)} prompts and {len(metadata)} objects of metadata")
    if len(images) > info.max_batch:
        raise BadRequest(f"{len(images)} images are more than max_batch, {info.max_batch}")
    for row, fields in enumerate(metadata):
        lacking = [field for field in info.needs if field not in fields]
        if lacking:
            raise BadRequest(f"the metadata of image {row} lacks {', '.join(lacking)}")
    return [_decoded(row, text, read) for row, text in enumerate(images)], prompts, metadata


def _decoded(row: int, text: str, read: Callable[[bytes], Image.Image]) -> Image.Image:
    try:
        return read(base64.b64decode(text, validate=True))
    except Exception as error:  # Pillow's decoders raise more than ten classes
        raise BadRequest(f"image {row} cannot be read: {' '.join(str(error).split())}") from error


def read_png(data: bytes) -> Image.Image:
    """Returns the RGB image in the bytes of a PNG file. Raises ValueError or OSError for anything else."""
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ValueError(f"it has {width} x {height} pixels, more than {MAX_PIXELS}")
        return image.convert("RGB")


def checked(scores: Sequence[float], count: int) -> list[float]:
    """Returns a scorer's scores as plain numbers. Raises ValueError unless there is a finite one for each image."""
    numbers = [float(score) for score in scores]
    if len(numbers) != count:
        raise ValueError(f"it gave {len(numbers)} scores for {count} images")
    wrong = [row for row, number in enumerate(numbers) if not math.isfinite(number)]
    if wrong:
        raise ValueError(f"it gave {numbers[wrong[0]]} for image {wrong[0]}")
    return numbers


def refusal(reason: str, status: int) -> JSONResponse:
    """Returns the answer to a request that cannot be served now; one that may be repeated says when."""
    headers = {"Retry-After": "1"} if status == 503 else None
    return JSONResponse({"error": reason[:1000]}, status, headers)
