"""`dv suite run --on ray`: the same results by two workers, whoever of them dies."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.evaluation.suites.results import RESULTS, read_results
from tests.dreamvideo_cli.commands.suite.sample import BARE, TOKEN, Write, learnt

pytest.importorskip("ray", reason="the extra `cluster` isn't installed")
CELLS = 24


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A cluster of two nodes of one core each, both on this machine."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    yield made
    made.shutdown()


def wait_for(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 240
    while not there():
        assert time.monotonic() < end
        time.sleep(0.05)


def workers_of(node: Any) -> list[int]:
    """The processes of the actors on a node."""
    raylet, found = node.all_processes["raylet"][0].process.pid, []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            command = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == raylet and b"ray::Worker" in command:
            found.append(int(status.parent.name))
    return found


def test_two_workers_make_what_one_process_makes(dv: Any, write: Write, tmp_path: Path) -> None:
    file = write(TOKEN.replace("}", ', steps = [1, "last"]}'), BARE)
    done = dv("suite", "run", file, "--on", "ray", "--workers", "2", "--device", "cpu")
    assert done.code == 0, done.err
    assert "3 made, 0 kept, 0 failed" in done.err
    assert learnt() == ["trial-fox-textual-inversion@1"]
    by_ray = {result.cell: result for result in read_results(tmp_path / "trial")}
    stepped = {cell.subject_step: result for cell, result in by_ray.items() if cell.method == "token"}
    assert {at: result.parts["subject"].step for at, result in stepped.items()} == {1: 1, None: None}
    assert [step for step, _ in stepped[None].parts["subject"].losses["token"]] == [1, 2]
    assert not list((tmp_path / "home" / "runs").glob("trial-*"))

    assert dv("suite", "run", file, "--folder", "here", "--device", "cpu").code == 0
    here = read_results(tmp_path / "here")
    assert len(here) == len(by_ray) == 3
    for result in here:
        assert (result.sha256, result.scores) == (by_ray[result.cell].sha256, by_ray[result.cell].scores)
    assert "0 made, 3 kept" in dv("suite", "run", file, "--device", "cpu").err


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers in /proc")
def test_a_worker_and_a_node_that_are_killed_cost_no_finished_cell(
    dv: Any, start: Any, write: Write, cluster: Any, tmp_path: Path
) -> None:
    file, results = write(BARE, seeds=json.dumps([*range(CELLS)])), tmp_path / "trial" / RESULTS
    begun = start("suite", "run", file, "--on", "ray", "--ray-address", cluster.address, "--device", "cpu")

    def made() -> int:
        return len(results.read_bytes().splitlines()) if results.exists() else 0

    wait_for(lambda: made() >= 2)
    (victim, *_) = workers_of(cluster.head_node)
    os.kill(victim, signal.SIGKILL)
    before = made()
    wait_for(lambda: made() >= min(CELLS - 8, before + 3))
    (other,) = cluster.worker_nodes
    cluster.remove_node(other, allow_graceful=False)
    _, err = begun.communicate(timeout=400)
    assert begun.returncode == 0, err
    assert f"{CELLS} made, 0 kept, 0 failed" in err
    assert "a worker died" in err and "Traceback" not in err
    lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    assert sorted(line["cell"]["seed"] for line in lines) == [*range(CELLS)]
    assert f"0 made, {CELLS} kept" in dv("suite", "run", file, "--device", "cpu").err


def test_a_cluster_that_is_not_there_is_said(dv: Any, write: Write, tmp_path: Path) -> None:
    done = dv("suite", "run", write(BARE), "--on", "ray", "--ray-address", "127.0.0.1:9")
    assert (done.code, done.out) == (2, "")
    assert "there is no Ray cluster at --ray-address 127.0.0.1:9" in " ".join(done.err.split())
