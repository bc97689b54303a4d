"""Checks with a node that joins a space which this package founded."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from . import peer
from .codec import need
from .founder import Founder
from .live import OWN, Check, document_of, state, value_in
from .node import Node
from .peer import Link
from .session import Session
from .space import Space


class Hosted:
    """A node that joins a space which this package founded."""

    def __init__(self, node: Node, server: socket.socket):
        self.node, self.server = node, server
        self.founder = Founder()
        self.session: Session | None = None
        self.joining: Future | None = None

    def checks(self) -> Iterator[Check]:
        yield "founding", "a node joins by an invite of this peer, over XXpsk0", self.admit
        yield "founding", "it dials again, over XX, and takes everything", self.serve
        yield "founding", "it shows the document of this peer, and its own edit arrives", self.exchange

    def admit(self) -> str:
        founder = self.founder
        founder.found("harbour")
        space = Space.read(founder.device)
        space.write_document("cities", "osaka", OWN)
        invite = founder.invite(self.server.getsockname()[1])
        # The command ends once the keys are there, so it needs what `serve` sends.
        self.joining = ThreadPoolExecutor(1).submit(self.node.run, "space", "join", invite.line())
        stream, _ = self.server.accept()
        with stream:
            claim = founder.admit(stream, invite)
        return f"device {claim.device.hex()[:16]}"

    def _accept(self) -> Session:
        """The next link of the node, by pattern 1."""
        device = self.founder.device
        stream, _ = self.server.accept()
        link = Link.answer(stream, device.keys, device.hello())
        theirs = link.hello()
        return Session(link, device, peer.judge(link, theirs, device.hello()), theirs.incarnation)

    def serve(self) -> str:
        session = self.session = self._accept()
        names = set(self.founder.device.logs)
        need(session.run(lambda: names <= {name for name, end in session.acked.items() if end}), state(session))
        session.settle()
        assert self.joining
        (joined,) = self.joining.result(60)
        need(joined["name"] == "harbour", f"`space join` shows {joined}")
        return f"{len(names)} logs"

    def exchange(self) -> str:
        session, device = self.session, self.founder.device
        assert session
        shown = value_in(self.node.run("doc", "get", "cities/osaka")[0])
        need(shown == OWN, f"`doc get` shows {shown}")
        self.node.run("doc", "put", "cities/osaka", json.dumps(OWN | {"open": True}))
        expected = OWN | {"open": True}
        found = session.run(lambda: self._osaka() == expected and session.agrees())
        need(found, f"{self._osaka()}, {state(session)}")
        told = self.node.run("space", "digest")[0]["collections"]
        for collection in told:
            count, digest = Space.read(device).digest(collection["collection"])
            need((count, digest.hex()) == (collection["documents"], collection["digest"]), "digests differ")
        session.leave()
        need(Space.read(device).check_cites() > 0, "the node's entry cites nothing")
        return f"root {device.root().hex()}"

    def _osaka(self) -> Any:
        space = Space.read(self.founder.device)
        return space.document(document_of(space, "osaka"))["doc"]
