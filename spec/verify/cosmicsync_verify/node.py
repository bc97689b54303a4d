"""A running node: the product's own program, driven by its command line."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from .codec import need


class Node:
    """A data directory and the process that serves it. Use it as a context."""

    def __init__(self, program: Path, folder: Path, has_user: bool = True):
        self.program, self.folder, self.has_user = program, folder, has_user
        self.process: subprocess.Popen | None = None
        self.address = ("", 0)

    def __enter__(self) -> Node:
        if self.has_user:
            self.run("init", "--name", "node")
        return self._start()

    def _start(self) -> Node:
        command = self._command("up", "--listen", "127.0.0.1:0")
        log = open(self.folder.with_suffix(".log"), "ab")
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, env=_environment()
        )
        assert self.process.stdout
        status = json.loads(self.process.stdout.readline() or b"{}")
        need("listen" in status, f"the node did not start: see {self.folder.with_suffix('.log')}")
        host, port = status["listen"].rsplit(":", 1)
        self.address = (host, int(port))
        return self

    def restart(self) -> None:
        """Ends the process and starts another on the same directory."""
        self._stop()
        self._start()

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()

    def _command(self, *arguments: str) -> list[str]:
        return [str(self.program), "--dir", str(self.folder), "-o", "json", *arguments]

    def run(self, *arguments: str) -> list[Any]:
        """Runs a command; returns the JSON objects that it printed."""
        done = subprocess.run(
            self._command(*arguments),
            capture_output=True,
            timeout=120,
            check=False,
            env=_environment(),
            stdin=subprocess.DEVNULL,
        )
        need(
            done.returncode == 0,
            f"`cosmicsync {' '.join(arguments)}` failed: {done.stderr.decode(errors='replace').strip()}",
        )
        return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("COSMICSYNC_")}
