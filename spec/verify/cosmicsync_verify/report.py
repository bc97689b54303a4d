"""One line for each check."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from .codec import Refused


@dataclass
class Report:
    as_json: bool
    counts: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    figures: dict[str, int] = field(default_factory=dict)

    def check(self, part: str, name: str, work: Callable[[], str | None]) -> bool:
        """Runs a check and prints what became of it. What it returns is printed as a note."""
        try:
            note, passed = work(), True
        except Refused as refused:
            note, passed = str(refused), False
        except Exception as error:  # a check that breaks is a check that fails
            note, passed = f"{type(error).__name__}: {error}", False
        self.counts[part] = self.counts.get(part, 0) + 1
        self.failed[part] = self.failed.get(part, 0) + (not passed)
        self._print({"part": part, "check": name, "passed": passed, "note": note or ""})
        return passed

    def _print(self, line: dict) -> None:
        if self.as_json:
            print(json.dumps(line), flush=True)
        else:
            verdict = "ok  " if line["passed"] else "FAIL"
            print(
                f"{verdict} {line['part']}: {line['check']}" + (f" ({line['note']})" if line["note"] else ""),
                flush=True,
            )

    def finish(self) -> int:
        """Prints the counts. 1 if a check failed or none ran."""
        ran, failed = sum(self.counts.values()), sum(self.failed.values())
        if self.as_json:
            print(json.dumps({"ran": self.counts, "failed": self.failed, "figures": self.figures}), flush=True)
        else:
            print(f"verify: {ran - failed} passed, {failed} failed")
        if not ran:
            print("no check ran", file=sys.stderr)
        return 0 if ran and not failed else 1
