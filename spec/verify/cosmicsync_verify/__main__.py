"""Checks what is published of CosmicSync against an implementation of spec/ that shares no code with it."""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
from pathlib import Path

from . import hosted, live, spoil, vectors
from .codec import Refused, need
from .node import Node
from .peer import DEADLINE_S
from .report import Report


def main() -> int:
    """Runs what the arguments ask for. 1 if a check failed or none ran."""
    try:
        return _run(_arguments())
    except (OSError, Refused) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(arguments: argparse.Namespace) -> int:
    report = Report(arguments.output == "json")
    files = vectors.load(arguments.vectors)
    for name, check in vectors.checks(files):
        report.check("vector", name, check)
    if arguments.self_check:
        report.check("self-check", "every member of every vector is noticed when spoiled", lambda: _self_check(files))
    if arguments.node:
        _live(arguments.node.resolve(), report)
    return report.finish()


def _live(program: Path, report: Report) -> None:
    """Runs the checks that need a node: each follows from the one before."""
    with tempfile.TemporaryDirectory(prefix="cosmicsync-verify-") as folder:
        with Node(program, Path(folder) / "node") as node:
            checks = live.Live(node)
            for part, name, work in checks.checks():
                report.check(part, name, work)
        report.figures = checks.figures()
        guest = Node(program, Path(folder) / "guest", has_user=False)
        with guest, socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(DEADLINE_S)
            for part, name, work in hosted.Hosted(guest, server).checks():
                report.check(part, name, work)


def _self_check(files: vectors.Files) -> str:
    spoiled, unnoticed = spoil.self_check(files)
    need(spoiled > 0, "nothing to spoil")
    need(not unnoticed, f"{len(unnoticed)} of {spoiled} went unnoticed: {', '.join(unnoticed[:20])}")
    return f"{spoiled} spoiled"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).resolve().parents[2] / "vectors"
    parser.add_argument("--vectors", type=Path, default=default, help="the folder with the vectors")
    parser.add_argument("--node", type=Path, metavar="PROGRAM", help="a built cosmicsync: runs the live checks too")
    parser.add_argument("--self-check", action="store_true", help="spoils every vector and expects a failure each time")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    return parser.parse_args()
