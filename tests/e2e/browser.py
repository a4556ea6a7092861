"""A real browser, steered by its own protocol (Chrome DevTools), with what it complained of."""

import json
import shutil
import subprocess
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from websockets.sync.client import ClientConnection, connect

from sync_pipelines.runtime.waiting import wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--remote-debugging-port=0", "--window-size=1400,900"),
)


_PLACE = """
text => {
  const written = [...document.body.querySelectorAll('*')].filter(
    one => one.innerText?.trim() === text && !one.closest('[disabled]'));
  for (const one of written.reverse()) {
    const {x, y, width, height} = one.getBoundingClientRect();
    const middle = [x + width / 2, y + height / 2];
    if (width && one.contains(document.elementFromPoint(...middle))) return middle;
  }
  return null;
}
"""
"""Where the innermost element with a text is that nothing covers; null if there is none."""


class Page:
    """The one page of a browser. ``complaints`` are errors of its console and of its scripts."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self._session: str | None = None
        self.complaints: list[str] = []
        self.frames: list[str] = []
        self.refused: list[tuple[int, str]] = []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")

    def cookie(self, name: str, value: str, *, url: str) -> None:
        """Have a cookie, as after signing in."""
        self._ask("Network.setCookie", name=name, value=value, url=url)

    def open(self, url: str) -> None:
        """Go there."""
        self._ask("Page.navigate", url=url)

    def says(self, script: str) -> Any:
        """What a script comes to in the page."""
        asked = {"expression": script, "awaitPromise": True, "returnByValue": True}
        return self._ask("Runtime.evaluate", **asked)["result"].get("value")

    def waits_for(self, script: str, *, seconds: float = 30.0) -> bool:
        """Whether a script comes true in time."""
        return wait_until(lambda: bool(self.says(script)), seconds=seconds, every=0.2)

    def click(self, text: str, *, opens: str | None = None, seconds: float = 30.0) -> None:
        """Move the mouse to what is written so, once it is there and rests, and click.

        Again, as people do, until what it ``opens`` is there to be clicked.
        """
        until = monotonic() + seconds
        while monotonic() < until:
            place = self._rests(text)
            if place is not None:
                self._press(*place)
                if opens is None:
                    return
            if opens and wait_until(lambda: self._rests(opens) is not None, seconds=3, every=0.2):
                return
        raise AssertionError(f"there is no {text!r} to click, or it does not open {opens!r}")

    def _rests(self, text: str) -> Any:
        """Where something is that may be clicked, unless it still moves."""
        where = f"({_PLACE})({json.dumps(text)})"
        before = self.says(where)
        self.says("new Promise(done => setTimeout(done, 100))")
        return before if self.says(where) == before else None

    def _press(self, x: float, y: float) -> None:
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            pressed = {"button": "left", "clickCount": 1} if kind != "mouseMoved" else {}
            self._ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **pressed)

    def shot(self, path: Path) -> None:
        """A picture of it."""
        path.write_bytes(b64decode(self._ask("Page.captureScreenshot")["data"]))

    def _ask(self, method: str, **params: Any) -> Any:
        self._number += 1
        asked = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            asked["sessionId"] = self._session
        self._socket.send(json.dumps(asked))
        while True:
            told = json.loads(self._socket.recv(timeout=60))
            if told.get("id") == self._number:
                assert "error" not in told, told
                return told["result"]
            self._note(told.get("method"), told.get("params", {}))

    def _note(self, event: str | None, what: Any) -> None:
        match event:
            case "Runtime.exceptionThrown":
                self.complaints.append(str(what["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if what["type"] == "error":
                self.complaints.append(str([one.get("value") for one in what["args"]]))
            case "Log.entryAdded" if what["entry"]["level"] == "error":
                self.complaints.append(f"{what['entry']['text']} {what['entry'].get('url', '')}")
            case "Network.webSocketFrameReceived":
                self.frames.append(what["response"]["payloadData"])
            case "Network.responseReceived" if what["response"]["status"] >= 400:
                self.refused.append((what["response"]["status"], what["response"]["url"]))


@contextmanager
def browsing() -> Iterator[Page]:
    """A browser of one's own, with nothing remembered."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(prefix="sync-browser-", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}"],
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        told = Path(profile) / "DevToolsActivePort"
        try:
            assert wait_until(lambda: told.exists() and "/" in told.read_text(), seconds=60)
            port, path = told.read_text().split()
            with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None) as socket:
                yield Page(socket)
        finally:
            process.terminate()
            process.wait(30)
