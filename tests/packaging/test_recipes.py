"""What docker/ says agrees with itself, with the command line, and with the dependencies.

Whether the files are well-formed, the tools say that `scripts/check` runs. No schema knows this.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.packaging import dockerfile, recipes
from tests.packaging.recipes import BATCH, COMPOSE, DOCKER, ROOT, UNIT
from uploader.cli.exit_codes import ExitCode
from uploader.cli.main import uploader
from uploader.clock import parse_duration
from uploader.config import parse_size

MARGIN = (
    10  #: seconds between the last moment that a process takes and the one at which it is killed
)
PROJECT = (ROOT / "pyproject.toml").read_text()
FILES = sorted(path for path in DOCKER.rglob("*") if path.is_file())

LINES = recipes.command_lines()
SIDECARS = {name: pod for name, pod in recipes.pods().items() if recipes.sidecar(pod)}


@pytest.mark.parametrize(
    "line", LINES, ids=lambda line: f"{line.where} {' '.join(line.words)}"[:80]
)
def test_every_command_in_the_recipes_is_one_that_the_command_line_takes(
    line: recipes.CommandLine,
) -> None:
    """The real parser accepts it: no flag that does not exist, no value that it cannot have."""
    name, *arguments = line.words
    with uploader.make_context("uploader", [name, *arguments]) as context:
        command = uploader.get_command(context, name)
        assert command is not None, f"no such command: {name}"
        with command.make_context(name, arguments, parent=context):
            pass


def test_the_recipes_hold_the_commands_that_they_are_about() -> None:
    """The search for them finds what is known to be there, in every kind of place."""
    found = {(line.where.split(":")[0], line.words[0]) for line in LINES}
    assert {("job.yaml", word) for word in ("init", "run", "drain", "status")} <= found
    assert {("compose", word) for word in ("init", "run", "status")} <= found
    assert {("slurm/train.sbatch", word) for word in ("init", "run", "drain")} <= found
    assert {("slurm/epilog.sh", "drain"), ("unit", "run"), ("Dockerfile", "run")} <= found


@pytest.mark.parametrize("name", SIDECARS)
def test_a_pod_has_time_for_its_hook_and_then_for_its_agent(name: str) -> None:
    """Kubernetes waits for preStop's drain, then for the agent's grace, and has a margin left."""
    pod = SIDECARS[name]["spec"]
    sidecar = _sidecar(name)
    (run,) = (
        line for line in LINES if line.where == f"{name}: uploader" and line.words[0] == "run"
    )
    hook = _seconds(recipes.hook(sidecar).option("--timeout"))
    assert pod["terminationGracePeriodSeconds"] >= hook + _seconds(run.option("--grace")) + MARGIN


def test_an_agent_in_compose_and_under_systemd_has_time_for_its_grace() -> None:
    """What kills it comes at least a margin after the grace that its command line names."""
    for name in ("agent", "agent-gcs"):
        (line,) = (
            line for line in LINES if line.where == f"compose: {name}" and line.words[0] == "run"
        )
        stop = _seconds(COMPOSE["services"][name]["stop_grace_period"])
        assert stop >= _seconds(line.option("--grace")) + MARGIN
    (line,) = (line for line in LINES if line.where == "unit")
    assert _seconds(_unit("TimeoutStopSec")) >= _seconds(line.option("--grace")) + MARGIN


def test_the_batch_script_is_told_early_enough() -> None:
    """--signal leaves time to save, to drain, and to be put back into the queue."""
    (told,) = re.findall(r"^#SBATCH --signal=B:TERM@(\d+)$", BATCH, flags=re.MULTILINE)
    save, drain = (
        int(re.findall(rf"^readonly {name}=(\d+)", BATCH, re.MULTILINE)[0])
        for name in ("SAVE", "DRAIN")
    )
    assert int(told) >= save + drain + 3 * MARGIN


def test_exit_codes_have_their_names_and_numbers() -> None:
    """The batch script's are the command's; the unit tries again what can pass by itself."""
    ours = re.findall(
        r"\b([A-Z_]+)=(\d+)", re.findall(r"^readonly (DONE.*)$", BATCH, re.MULTILINE)[0]
    )
    assert len(ours) == 5
    for name, number in ours:
        assert ExitCode[name] == int(number)
    assert set(_unit("RestartPreventExitStatus").split()) == _numbers("SPOOL")
    assert set(_unit("SuccessExitStatus").split()) == _numbers(
        "DEAD_LETTERS", "WORK_REMAINS", "INTERRUPTED"
    )
    for job in recipes.manifests()["drain-pvc.yaml"]:
        (rule,) = job["spec"]["podFailurePolicy"]["rules"]
        assert {*map(str, rule["onExitCodes"]["values"])} == _numbers(
            "USAGE", "DEAD_LETTERS", "SPOOL"
        )


@pytest.mark.parametrize("name", SIDECARS)
def test_metrics_are_scraped_where_they_are_served(name: str) -> None:
    """Annotation, container, probe and flag name one port, on an address that others reach."""
    sidecar = _sidecar(name)
    (run,) = (
        line for line in LINES if line.where == f"{name}: uploader" and line.words[0] == "run"
    )
    port = run.option("--metrics-port")
    assert run.option("--metrics-host") == "0.0.0.0"
    annotations = SIDECARS[name]["metadata"]["annotations"]
    assert annotations["prometheus.io/scrape"] == "true"
    assert annotations["prometheus.io/port"] == port
    (named,) = sidecar["ports"]
    assert str(named["containerPort"]) == port
    probe = sidecar["livenessProbe"]["httpGet"]
    assert (probe["port"], probe["path"]) == (named["name"], annotations["prometheus.io/path"])
    assert dockerfile.texts(dockerfile.stages()[-1], "EXPOSE") == [port]


def test_prometheus_finds_the_agent_of_compose() -> None:
    """Its targets name the service and the port that the service's command serves."""
    (line,) = (line for line in LINES if line.where == "compose: agent" and line.words[0] == "run")
    targets = [path.read_text() for path in (DOCKER / "prometheus").rglob("*.y*ml")]
    assert any(f"agent:{line.option('--metrics-port')}" in text for text in targets)


def test_what_compose_mounts_is_there() -> None:
    """A source that does not exist would be made as an empty directory, owned by root."""
    for service in COMPOSE["services"].values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert (
                (DOCKER / source).exists()
                if source.startswith(".")
                else source in COMPOSE["volumes"]
            )


@pytest.mark.parametrize("name", SIDECARS)
def test_a_spool_is_full_before_its_volume_is(name: str) -> None:
    """A full emptyDir ends the pod; a full spool is an error that training is told of."""
    (line,) = (line for line in LINES if line.where == f"{name}: make-spool")
    spool = next(each for each in SIDECARS[name]["spec"]["volumes"] if each["name"] == "spool")
    if "emptyDir" in spool:
        room = spool["emptyDir"]["sizeLimit"]
    else:
        (claim,) = (each for each in recipes.manifests()[name] if each["kind"].endswith("Claim"))
        assert claim["metadata"]["name"] == spool["persistentVolumeClaim"]["claimName"]
        room = claim["spec"]["resources"]["requests"]["storage"]
    assert parse_size(line.option("--max-bytes") or "none") <= 0.9 * parse_size(f"{room}B")


@pytest.mark.parametrize("name", recipes.pods())
def test_a_pod_is_of_the_images_user_and_of_one_spool(name: str) -> None:
    """A spool lets in its owner alone, and lies in a directory below the volume's top."""
    pod = recipes.pods()[name]["spec"]
    (user,) = dockerfile.texts(dockerfile.stages()[-1], "USER")
    context = pod["securityContext"]
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == user
    assert context["fsGroup"] == context["runAsGroup"]
    assert context["runAsNonRoot"] is True
    spools = set()
    for container in recipes.containers(pod={"spec": pod}):
        environment = {each["name"]: each.get("value") for each in container["env"]}
        spools.add(environment["UPLOADER_SPOOL"])
        (mount,) = (each for each in container["volumeMounts"] if each["name"] == "spool")
        assert environment["UPLOADER_SPOOL"].startswith(f"{mount['mountPath']}/")
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["resources"]["requests"]
        assert container["resources"]["limits"]["memory"]
    assert spools == {dockerfile.variables(dockerfile.stages()[-1])["UPLOADER_SPOOL"]}


def test_the_sidecar_is_the_same_in_every_pod() -> None:
    """What is learnt of one is learnt of all: they differ in nothing but the volume behind them."""
    first, *others = [_sidecar(name) for name in SIDECARS]
    assert others
    assert all(other == first for other in others)


def test_every_image_is_pinned_and_ours_is_of_this_version() -> None:
    """No `latest`, no tag left out; and the version is pyproject's in each place."""
    version = _of_project(r'^version = "(.*)"$')
    text = "\n".join(path.read_text() for path in FILES if path.suffix in (".yaml", ""))
    images = re.findall(r"^\s+image: (?:&\w+ )?([^*\s]\S*)", text, flags=re.MULTILINE)
    images += re.findall(r"^ARG PYTHON=(\S+)", text, flags=re.MULTILINE)
    assert len(images) > 10
    for image in images:
        name, _, tag = image.rpartition(":")
        assert name, f"{image} has no tag"
        assert re.search(r"\d+\.\d+", tag), image
        assert name != recipes.IMAGE or tag == version
    labels = " ".join(dockerfile.texts(dockerfile.stages()[-1], "LABEL"))
    assert f'org.opencontainers.image.version="{version}"' in labels


def test_the_lock_fits_what_the_project_asks_for() -> None:
    """Each dependency is locked, in a version that pyproject allows and the tests run with."""
    locked, locked_to_build = _locked("requirements.lock"), _locked("build.lock")
    asked = re.findall(
        r'^    "(.*)",$', _of_project(r"^dependencies = \[$(.*?)^\]$"), flags=re.MULTILINE
    )
    asked_to_build = re.findall(r'"(.*?)"', _of_project(r"^requires = \[(.*)\]$"))
    assert len(asked) > 5
    assert asked_to_build
    pairs = [(text, locked) for text in asked] + [
        (text, locked_to_build) for text in asked_to_build
    ]
    for text, lock in pairs:
        requirement = Requirement(text)
        assert requirement.name in lock, f"{requirement.name} is not locked: docker/lock"
        fits = all(version in requirement.specifier for version in lock[requirement.name])
        assert fits, f"{text}: docker/lock"
    tested = _pinned((ROOT / "scripts" / "constraints.txt").read_text())
    for name, versions in locked.items():  # others of them are for older Pythons
        assert set(versions) & set(tested[name]), f"{name}: docker/lock"


@pytest.mark.parametrize("name", ["requirements.lock", "build.lock"])
def test_everything_that_is_locked_has_hashes(name: str) -> None:
    """One without would be refused at the build, or everything would be taken unseen."""
    text = (DOCKER / name).read_text()
    entries = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    assert len(entries) == sum(map(len, _locked(name).values()))
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)


def _sidecar(name: str) -> dict[str, Any]:
    found = recipes.sidecar(SIDECARS[name])
    assert found is not None
    return found


def _unit(setting: str) -> str:
    (value,) = re.findall(rf"^{setting}=(.*)$", UNIT, flags=re.MULTILINE)
    return str(value)


def _numbers(*names: str) -> set[str]:
    return {str(int(ExitCode[name])) for name in names}


def _seconds(text: str | None) -> float:
    assert text is not None
    return parse_duration(text)


def _of_project(pattern: str) -> str:
    found = re.search(pattern, PROJECT, flags=re.MULTILINE | (re.DOTALL if "$(" in pattern else 0))
    assert found
    return found[1]


def _locked(name: str) -> dict[str, list[Version]]:
    return _pinned((DOCKER / name).read_text())


def _pinned(text: str) -> dict[str, list[Version]]:
    """Return the versions of each name; several where markers choose."""
    found: dict[str, list[Version]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, flags=re.MULTILINE):
        found.setdefault(name.lower().replace("_", "-"), []).append(Version(version))
    return found
