"""Define what is found when a destination is tried out: line by line, each with what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uploader.errors import StoreError
    from uploader.place import Capabilities

MEND = "mend that at the service, or change an option: uploader init --help"


class Verdict(str, Enum):
    """What a finding means for uploads."""

    OK = "ok"
    WARNING = "warning"  #: uploads work; something else does not, or costs more
    REFUSED = "refused"  #: uploads cannot work


@dataclass(frozen=True)
class Finding:
    """One thing that was tried."""

    what: str  #: as "create-only put"
    verdict: Verdict
    detail: str  #: what was seen
    advice: str = ""  #: what to do about it
    error: StoreError | None = None  #: with which an upload would fail

    def as_json(self) -> dict[str, str]:
        """Return it as `check --json` shows it."""
        return {
            "what": self.what,
            "verdict": self.verdict.value,
            "detail": self.detail,
            "advice": self.advice,
        }


def refusal(what: str, error: StoreError) -> Finding:
    """Return the finding that an error is; what its message ends with is what to do."""
    detail, _, advice = str(error).rpartition("; ")
    return Finding(what, Verdict.REFUSED, detail or advice, advice if detail else MEND, error)


@dataclass(frozen=True)
class Probed:
    """All that was tried."""

    findings: tuple[Finding, ...]
    capabilities: Capabilities | None = None  #: None: it did not come to that

    def require(self) -> None:
        """Raise the error of the first refusal, if there is one."""
        for finding in self.findings:
            if finding.verdict is Verdict.REFUSED and finding.error:
                raise finding.error
