"""Run `uploader check` in this process, and read what it found."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from tests.cli.bucket_shell import BucketShell


class Checked(NamedTuple):
    """How a check ended, and what it said."""

    code: int
    report: dict[str, Any]

    def of(self, what: str) -> dict[str, str]:
        """Return the finding about something."""
        (found,) = [one for one in self.report["findings"] if one["what"] == what]
        return dict(found)

    def all_that_are(self, verdict: str) -> set[str]:
        """Return what was found to be so."""
        return {one["what"] for one in self.report["findings"] if one["verdict"] == verdict}

    @property
    def verdicts(self) -> set[str]:
        """What findings there are."""
        return {str(one["verdict"]) for one in self.report["findings"]}


Check = Callable[..., Checked]


def checking(
    shell: BucketShell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Check:
    """Return what runs `check --json`, with the environment of a shell at a bucket."""
    for name in set(os.environ) - set(shell.environment):
        monkeypatch.delenv(name)
    for name, value in shell.environment.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: object, **environment: str) -> Checked:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with shell.in_process() as run_command:
            code = run_command(["check", "--json", *map(str, arguments)])
        said = capsys.readouterr()
        assert said.err == ""
        assert not [secret for secret in shell.secrets if secret in said.out]
        checked = Checked(code, json.loads(said.out))
        assert checked.report["exit_code"] == code
        return checked

    return run
