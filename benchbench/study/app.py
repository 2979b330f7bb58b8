"""The web application of a study: pages for raters behind unguessable links, and one for whoever runs the study."""

from __future__ import annotations

import secrets
from pathlib import Path
from urllib.parse import parse_qs

from PIL import Image
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchbench.errors import BenchError
from benchbench.study.design import Study
from benchbench.study.folder import picture_files
from benchbench.study.pages import STATIC, Pages
from benchbench.study.pictures import FOLDER
from benchbench.study.progress import progress_rows
from benchbench.study.vote_store import Place, VoteStore

SMALL = 128  # pixels; smaller pictures are enlarged without smoothing
LARGEST_BODY = 4096  # bytes of a form
LONGEST_CODE = 64
HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",  # a link holds a token
    "cross-origin-opener-policy": "same-origin",
}
KEPT = {"cache-control": "private, max-age=86400, immutable"}


class StudyApp:
    """The endpoints of one study. They run in one thread, and every call of the store takes well under 10 ms."""

    def __init__(self, study: Study, folder: Path, votes: VoteStore) -> None:
        self.study, self.folder, self.votes = study, folder, votes
        self.files = picture_files(study)
        with Image.open(folder / FOLDER / study.pictures[0].file) as picture:
            self.pages = Pages(study, min(picture.size) < SMALL)

    def routes(self) -> list[Route | Mount]:
        """Returns the addresses of the application."""
        return [
            Route("/r/{token}", self.rater),
            Route("/r/{token}/agree", self.agree, methods=["POST"]),
            Route("/r/{token}/vote", self.vote, methods=["POST"]),
            Route("/r/{token}/undo", self.undo, methods=["POST"]),
            Route("/join/{token}", self.join, methods=["GET", "POST"]),
            Route("/admin/{token}", self.admin),
            Route("/pictures/{name}", self.picture),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]

    async def rater(self, request: Request) -> Response:
        """Shows the consent text, then the next question, then the completion code."""
        slot, token = self._slot(request), request.path_params["token"]
        if not self.votes.agreed(slot):
            return _page(self.pages.consent(token))
        place = self.votes.place(slot)
        if place is None:
            return _page(self.pages.finished(str(self.votes.access("completion"))))
        return _page(self.pages.question(token, slot, place))

    async def agree(self, request: Request) -> Response:
        """Stores that a rater agrees to the consent text."""
        self.votes.agree(self._slot(request))
        return _back(request)

    async def vote(self, request: Request) -> Response:
        """Stores a vote before the next page is shown. A page that is answered already leads on to the next one."""
        slot, form = self._slot(request), await _form(request)
        milliseconds = form.get("milliseconds", "")
        shown = int(milliseconds) if milliseconds.isdecimal() and len(milliseconds) < 10 else None
        if self.votes.cast(slot, _place(form), form.get("answer", ""), shown) == "refused":
            raise HTTPException(409, "This pair is not yours to answer now. Open your link again.")
        return _back(request)

    async def undo(self, request: Request) -> Response:
        """Takes back the last vote, if the form names it."""
        slot = self._slot(request)
        self.votes.undo(slot, _place(await _form(request)))
        return _back(request)

    async def join(self, request: Request) -> Response:
        """Gives a free place to somebody with the common link; the same one to the same participant of a platform."""
        token = request.path_params["token"]
        if not _same(token, self.votes.access("join")):
            raise HTTPException(404)
        code = request.query_params.get("PROLIFIC_PID")
        if code is None and request.method == "GET":
            return _page(self.pages.join(token))
        if code is not None and not (code.isalnum() and code.isascii() and len(code) <= LONGEST_CODE):
            raise HTTPException(400, "The participant's code must be of letters and digits.")
        link = self.votes.join(code)
        if link is None:
            return _page(self.pages.message("No place is left", "Thank you: enough people have taken part."), 410)
        return RedirectResponse(f"/r/{link}", 303)

    async def admin(self, request: Request) -> Response:
        """Shows the progress of all raters."""
        if not _same(request.path_params["token"], self.votes.access("admin")):
            raise HTTPException(404)
        return _page(self.pages.admin(progress_rows(self.study, self.votes.votes())))

    async def picture(self, request: Request) -> Response:
        """Returns a picture of the study; no other file has a name here."""
        name = request.path_params["name"]
        if name not in self.files:
            raise HTTPException(404)
        data = (self.folder / FOLDER / name).read_bytes()  # faster than handing such a small file to a thread
        return Response(data, media_type="image/webp", headers=KEPT)

    async def failed(self, request: Request, error: Exception) -> Response:
        """Returns a page for a wrong address, a wrong form, and votes that cannot be written."""
        if isinstance(error, HTTPException):
            known = {404: "There is nothing at this address.", 405: "This address takes no such request."}
            text = known.get(error.status_code, error.detail)
            return _page(self.pages.message("This does not work", text), error.status_code)
        return _page(self.pages.message("Your vote was not stored", "Please wait a moment and try again."), 503)

    def _slot(self, request: Request) -> int:
        slot = self.votes.slot(request.path_params["token"])
        if slot is None:
            raise HTTPException(404)
        return slot


def make_app(study: Study, folder: Path, votes: VoteStore) -> Starlette:
    """Returns the application of the study in a folder."""
    endpoints = StudyApp(study, folder, votes)
    return Starlette(
        routes=endpoints.routes(),
        middleware=[Middleware(SafeHeaders)],
        exception_handlers={HTTPException: endpoints.failed, BenchError: endpoints.failed},
    )


class SafeHeaders:
    """Adds ``HEADERS`` to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""

        async def send_safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            await send(message)

        await self.app(scope, receive, send_safe)


def _page(html: str, status: int = 200) -> Response:
    return HTMLResponse(html, status, headers={"cache-control": "no-store"})


def _back(request: Request) -> Response:
    """Leads to the rater's next page by a new request, so that reloading a page sends no vote again."""
    return RedirectResponse(f"/r/{request.path_params['token']}", 303)


async def _form(request: Request) -> dict[str, str]:
    """Returns the fields of a form. Raises HTTPException for one that is too large or not UTF-8."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            raise HTTPException(413, "The form is too large.")
    try:
        return {name: values[0] for name, values in parse_qs(body.decode(), max_num_fields=16).items()}
    except ValueError:
        raise HTTPException(400, "The form cannot be read.") from None


def _place(form: dict[str, str]) -> Place:
    """Returns the page and question that a form names. Raises HTTPException."""
    numbers = [form.get(name, "") for name in ("position", "question")]
    if not all(number.isdecimal() and len(number) < 10 for number in numbers):
        raise HTTPException(400, "The form names no page.")
    return Place(*map(int, numbers))


def _same(given: str, secret: str | None) -> bool:
    return secret is not None and secrets.compare_digest(given.encode(), secret.encode())
