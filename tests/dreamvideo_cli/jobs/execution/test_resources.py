"""How many workers a cluster gets, what each takes, and which clusters are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from dreamvideo_cli.jobs.execution.choosing import Execution
from dreamvideo_cli.jobs.execution.units import Loading, Needs
from engine.bases.location import EMBEDDED
from engine.errors import InputError

pytest.importorskip("ray", reason="the extra `cluster` isn't installed")
GIB = 2**30
NEEDS = Needs(Loading(EMBEDDED), memory_bytes=10 * GIB)
ON_CPU = replace(NEEDS, base=replace(NEEDS.base, device="cpu"))
CARDS = {"CPU": 32.0, "GPU": 4.0, "memory": 200.0 * GIB}
CORES = {"CPU": 16.0, "memory": 45.0 * GIB}


@pytest.mark.parametrize(
    ("needs", "nodes", "workers", "expected"),
    [
        ([NEEDS] * 9, [CARDS, CARDS, CORES], None, (8, 1, 1, 0)),
        ([NEEDS] * 9, [CARDS], 2, (2, 1, 1, 0)),
        ([NEEDS], [CARDS], None, (1, 1, 1, 0)),
        ([ON_CPU] * 99, [CARDS, CORES], None, (24, 1, 0, 10 * GIB)),
        ([NEEDS] * 99, [CORES], None, (4, 4, 0, 10 * GIB)),
        ([NEEDS] * 99, [CORES], 2, (2, 8, 0, 10 * GIB)),
        ([NEEDS] * 3, [{"CPU": 2.0, "memory": 30.0 * GIB}], 2, (2, 1, 0, 10 * GIB)),
    ],
)
def test_workers_take_cards_or_else_cores_and_memory(
    needs: Sequence[Needs], nodes: Sequence[Mapping[str, float]], workers: int | None, expected: tuple[int, ...]
) -> None:
    from dreamvideo_cli.jobs.execution.on_ray import resources_for

    found = resources_for(needs, nodes, workers)
    assert (found.workers, found.cores, found.gpus, found.memory_bytes) == expected


def test_a_cluster_without_room_for_a_worker_is_refused() -> None:
    from dreamvideo_cli.jobs.execution.on_ray import resources_for

    with pytest.raises(InputError, match="no machine of the cluster has a core and 10"):
        resources_for([NEEDS], [{"CPU": 8.0, "memory": 4.0 * GIB}], None)


def test_where_there_is_no_cluster_it_is_said() -> None:
    from dreamvideo_cli.jobs.execution.on_ray import _connect

    with pytest.raises(InputError, match="run dv on a machine of the cluster"):
        _connect("ray://there:10001")
    with pytest.raises(InputError, match=r"no Ray cluster at `ray_address` 127\.0\.0\.1:9"):
        _connect("127.0.0.1:9")


def test_what_only_ray_reads_is_refused_without_it() -> None:
    with pytest.raises(InputError, match="`workers` is read with `on` ray only"):
        Execution(workers=2)
