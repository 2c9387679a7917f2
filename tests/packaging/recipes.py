"""Read the recipes in docker/: what they run, and with which numbers.

- A command line is found wherever one may stand: containers, hooks and probes, compose services,
  the unit, shell scripts, and the READMEs' code.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]  # ships no types

from tests.packaging import dockerfile

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
IMAGE = "artifact-uploader"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
UNIT = (DOCKER / "systemd" / "uploader@.service").read_text()
BATCH = (DOCKER / "slurm" / "train.sbatch").read_text()

#: A command in a shell's text, up to what ends it.
_IN_SHELL = re.compile(
    r"""(?<![\w/.@-])uploader[ ]
        ([a-z]+\b(?:(?!\#|\||&|;|>|\)|'[ ]|'$).)*)""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class CommandLine:
    """The arguments of one `uploader`, and where they stand."""

    where: str
    words: tuple[str, ...]

    def option(self, flag: str) -> str | None:
        """Return a flag's value, given as `--flag=value` or `--flag value`."""
        for word, after in zip(self.words, (*self.words[1:], ""), strict=True):
            if word == flag:
                return after
            if word.startswith(f"{flag}="):
                return word.partition("=")[2]
        return None


@cache
def manifests() -> dict[str, list[dict[str, Any]]]:
    """Return the objects in each file below `k8s/`."""
    files = sorted((DOCKER / "k8s").glob("*.yaml"))
    return {path.name: list(yaml.safe_load_all(path.read_text())) for path in files}


def pods() -> dict[str, dict[str, Any]]:
    """Return the pod template of each job, by its file's name."""
    return {
        name: each["spec"]["template"]
        for name, objects in manifests().items()
        for each in objects
        if each["kind"] == "Job"
    }


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all containers of a pod, in the order in which they start."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def sidecar(pod: dict[str, Any]) -> dict[str, Any] | None:
    """Return the container that runs the agent; None in a pod without one."""
    return next((one for one in containers(pod) if one.get("restartPolicy") == "Always"), None)


def hook(container: dict[str, Any]) -> CommandLine:
    """Return the command of a container's preStop hook."""
    words = container["lifecycle"]["preStop"]["exec"]["command"]
    assert words[0] == "uploader"
    return CommandLine("preStop", tuple(words[1:]))


def command_lines() -> list[CommandLine]:
    """Return every command line of ours in docker/, and in what it is documented with."""
    found = [*_in_pods(), *_in_compose(), *_in_image()]
    (start,) = re.findall(r"^ExecStart=\S+/uploader (.*)$", UNIT, flags=re.MULTILINE)
    found.append(CommandLine("unit", tuple(shlex.split(start))))
    texts = [*DOCKER.rglob("*.sh"), *DOCKER.rglob("*.sbatch"), *DOCKER.rglob("*.md")]
    for path in texts:
        text = path.read_text()
        code = "\n".join(_code(text)) if path.suffix == ".md" else _filled(text)
        found += in_shell(str(path.relative_to(DOCKER)), code)
    return found


def in_shell(where: str, text: str) -> Iterator[CommandLine]:
    """Yield the commands in a shell's text."""
    for line in text.replace("\\\n", " ").splitlines():
        for words in _IN_SHELL.findall(line):
            # What is quoted within quotes has lost them; a variable is a word like any other.
            yield CommandLine(where, tuple(shlex.split(words.replace('"', "").replace("\\", ""))))


def _in_pods() -> Iterator[CommandLine]:
    for name, pod in pods().items():
        for container in containers(pod):
            where = f"{name}: {container['name']}"
            if container["image"].startswith(f"{IMAGE}:"):
                assert "command" not in container, "the image's entry point is the command"
                yield CommandLine(where, tuple(container["args"]))
            execs = [container.get("startupProbe"), container.get("livenessProbe")]
            execs += container.get("lifecycle", {}).values()
            for each in execs:
                if each and "exec" in each:
                    yield from in_shell(where, " ".join(each["exec"]["command"]))


def _in_compose() -> Iterator[CommandLine]:
    for name, service in COMPOSE["services"].items():
        if service["image"].startswith(f"{IMAGE}:") and "entrypoint" not in service:
            yield CommandLine(f"compose: {name}", tuple(service["command"]))
        yield from in_shell(
            f"compose: {name}", " ".join(service.get("healthcheck", {}).get("test", []))
        )


def _in_image() -> Iterator[CommandLine]:
    (words,) = dockerfile.texts(dockerfile.stages()[-1], "CMD")
    yield CommandLine("Dockerfile", tuple(yaml.safe_load(words)))


def _code(text: str) -> Iterator[str]:
    """Yield the lines of indented and of fenced code, without a remark that is set off from it."""
    for line in re.findall(r"^ {4,}(.*)$", text, flags=re.MULTILINE):
        yield re.split(" {3,}", line)[0]
    for fenced in re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL):
        yield from fenced.splitlines()


def _filled(text: str) -> str:
    """Return a script without its comments, and with the numbers that it gives names to."""
    text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    for name, number in re.findall(r"\b([A-Z_]+)=(\d+)\b", text):
        text = text.replace(f"${{{name}}}", number)
    return text
