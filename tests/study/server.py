"""A study served by a process of its own, and raters who answer it through HTTP."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2

from benchbench.study.design import Study
from benchbench.study.panel import Panel
from benchbench.study.vote_store import Place

PLACE = re.compile(r'action="/r/[^"]+/vote">\s*<input type="hidden" name="position" value="(\d+)">\s*'
                   r'<input type="hidden" name="question" value="(\d+)">')  # fmt: skip


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class Server:
    """A process that serves a study on a fixed port; ``start`` returns once it answers."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.address, self.port = folder, f"http://127.0.0.1:{port}", port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        code = f"from pathlib import Path; from benchbench.study.serve import serve; serve(Path({str(self.folder)!r}), "
        code += f"'127.0.0.1', {self.port}, lambda line: None)"  # as the command does, without its other imports
        self._process = subprocess.Popen([sys.executable, "-c", code])
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                httpx2.get(f"{self.address}/static/icon.svg", timeout=5)
                return
            except httpx2.TransportError:
                time.sleep(0.05)
        raise AssertionError("the server does not answer")

    def kill(self) -> None:
        """Ends the process with SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()


def next_place(page: str) -> Place | None:
    """Returns the question that a page asks, or None on the last page."""
    found = PLACE.search(page)
    if found is None:
        assert "completion code" in page
        return None
    return Place(int(found[1]), int(found[2]))


class Rater:
    """One simulated rater with a browser that loads both pictures and tries again while the server is away."""

    def __init__(self, address: str, token: str, slot: int, study: Study, utilities: list[float], panel: Panel) -> None:
        self.client = httpx2.Client(base_url=address, follow_redirects=True, timeout=10, verify=False)
        self.link, self.slot, self.study, self.utilities, self.panel = f"/r/{token}", slot, study, utilities, panel
        self.place: Place | None = None
        self.sent = 0

    def begin(self) -> None:
        self.place = next_place(self._try("POST", f"{self.link}/agree"))

    def answer(self) -> bool:
        """Answers the page that is shown; returns False on the last page."""
        if self.place is None:
            return False
        answer = self.panel.answer(self.study, self.utilities, self.slot, self.place)
        form = {"position": self.place.position, "question": self.place.question, "answer": answer}
        self.place = next_place(self._try("POST", f"{self.link}/vote", {**form, "milliseconds": 1000}))
        self.sent += 1
        return self.place is not None

    def _try(self, method: str, path: str, form: dict[str, object] | None = None) -> str:
        """Sends a request until it is answered, as a rater who presses the button again."""
        for _ in range(400):
            try:
                answered = self.client.request(method, path, data=form)
                assert answered.status_code == 200, answered.status_code
                return answered.text
            except httpx2.TransportError:
                time.sleep(0.1)
        raise AssertionError("the server did not come back")
