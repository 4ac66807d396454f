"""dv and a plain implementation of the paper, which shares no code with it, say the same of the embedded base."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.speed_peers import AGREEMENTS, PEERS, Case, measured, operations


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path, "embedded", 64, 4, "cpu", "fp32")


@pytest.mark.parametrize("kind", ["identity", "motion"])
def test_losses_and_gradients_are_the_plain_implementations(case: Case, kind: str) -> None:
    found = AGREEMENTS[kind](case)
    assert found["loss"] < 1e-5
    assert 0 <= found["gradients"] < 1e-4


def test_a_bare_video_is_the_pipelines(case: Case) -> None:
    assert AGREEMENTS["compose"](case)["frames"] < 0.002, "pixels are whole numbers: half a step is 0.002"


@pytest.mark.parametrize(("job", "peer"), [("token", "diffusers"), ("identity", "plain"), ("motion", "authors")])
def test_what_is_timed_takes_its_steps(case: Case, job: str, peer: str) -> None:
    for who in ("dv", peer):
        assert len(measured(case, job, who, 1)) == 1
    assert set(PEERS[job]) >= {"dv", peer}


def test_operations_are_those_of_a_step(case: Case) -> None:
    bare, peer = (operations(case, "compose", who) for who in ("dv without adapters", "diffusers' pipeline"))
    assert bare == peer > 0, "the same arithmetic, whoever does it"
    assert bare < operations(case, "compose", "dv") < 1.2 * bare, "adapters add to it, a little"
