"""A headless Chromium in a container without a network, driven by the DevTools protocol over its standard input and output."""

from __future__ import annotations

import base64
import json
import os
import queue
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

IMAGE = "webstack-browser"
TIMEOUT = 60.0


class Browser:
    """One browser with one page. ``events`` holds what it told since the page was opened."""

    def __init__(self, folder: Path) -> None:
        """Start a container in which ``folder`` is /pages."""
        made = subprocess.run(["docker", "create", "--interactive", "--network", "none", "--label", "webstack.bench=browser", IMAGE],
                              check=True, capture_output=True, text=True)
        self.container = made.stdout.strip()
        subprocess.run(["docker", "cp", f"{folder}/.", f"{self.container}:/pages"], check=True, capture_output=True)
        self.process = subprocess.Popen(["docker", "start", "--attach", "--interactive", self.container],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.errors: list[bytes] = []
        self.events: list[dict[str, Any]] = []
        self.number = 0
        self.session = ""
        for work in (self._read, self._drain):
            threading.Thread(target=work, daemon=True).start()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _read(self) -> None:
        assert self.process.stdout is not None
        rest = b""
        while data := os.read(self.process.stdout.fileno(), 1 << 16):
            *whole, rest = (rest + data).split(b"\0")
            for text in whole:
                self.messages.put(json.loads(text))
        self.messages.put(None)

    def _drain(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors.append(line)

    def _next(self, end: float) -> dict[str, Any]:
        try:
            message = self.messages.get(timeout=max(0.01, end - time.monotonic()))
        except queue.Empty:
            raise TimeoutError(f"the browser does not answer: {b''.join(self.errors[-20:]).decode(errors='replace')}") from None
        if message is None:
            raise RuntimeError(f"the browser has ended: {b''.join(self.errors[-20:]).decode(errors='replace')}")
        if "method" in message:
            self.events.append(message)
        return message

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command, and return its result."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params, **({"sessionId": self.session} if self.session else {})}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\0")
        self.process.stdin.flush()
        end = time.monotonic() + TIMEOUT
        while True:
            answer = self._next(end)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def open(self, name: str, width: int = 1280, height: int = 900, scheme: str = "light", media: str = "screen", script: bool = True) -> None:
        """Open a page of the folder and wait until it is there."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        for url in ("about:blank", f"file:///pages/{name}"):  # the former page's events end before the next one's begin
            self.events.clear()
            self.call("Page.navigate", url=url)
            end = time.monotonic() + TIMEOUT
            while not any(event["method"] == "Page.loadEventFired" for event in self.events):
                self._next(end)

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, and exceptions."""
        found = []
        for event in self.events:
            params = event.get("params", {})
            if event["method"] == "Runtime.exceptionThrown":
                found.append(params["exceptionDetails"]["text"])
            elif event["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(params["entry"]["text"])
            elif event["method"] == "Runtime.consoleAPICalled":
                found.append(json.dumps(params["args"]))
        return found

    def requests(self) -> list[str]:
        """What the page asked for."""
        return [event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"]

    def picture(self, path: Path) -> None:
        """A picture of the whole page."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip={**self._whole(), "scale": 1})["data"]
        path.write_bytes(base64.b64decode(data))

    def _whole(self) -> dict[str, float]:
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 16000)}

    def paper(self) -> bytes:
        """The page as PDF, on the paper that it asks for."""
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"])

    def close(self) -> None:
        """Remove the container."""
        subprocess.run(["docker", "rm", "--force", self.container], check=False, capture_output=True)
        self.process.wait(timeout=30)
