"""The training loop in two processes, as accelerate starts them: one step for all, and one that writes."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from engine.errors import DivergedError, ResumeError
from engine.training import LoopConfig, Snapshots, generator_at, train

STEPS = LoopConfig(steps=6, learning_rate=0.05, gradient_accumulation=2, max_grad_norm=0.5)
START = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))


class Problem:
    """A small regression. Only the process of rank 1 ever reaches `rare`, none reaches `idle`."""

    def __init__(self) -> None:
        self.parameters = {
            "weights": nn.Parameter(START.clone()),
            "rare": nn.Parameter(torch.ones(3)),
            "idle": nn.Parameter(torch.ones(2)),
        }

    def loss_of(self, step: int, micro: int, rank: int) -> Tensor:
        x = torch.randn(8, 4, generator=generator_at(3, step, f"{micro} of {rank}"))
        off = x @ self.parameters["weights"] - x[:, :3].sin()
        return (off + (self.parameters["rare"] if rank == 1 else 0)).square().mean()

    def values(self) -> dict[str, Tensor]:
        return {name: parameter.detach() for name, parameter in self.parameters.items()}


def learns(accelerator: Accelerator, folder: Path) -> None:
    """Train, and write down what each process has and how it was told of the loss."""
    problem, rank, told = Problem(), accelerator.process_index, []
    snapshots = Snapshots(folder / f"of rank {rank}.snapshot", {}, every=2)
    loss = train(
        problem.parameters, lambda step, micro: problem.loss_of(step, micro, rank), STEPS,
        accelerator=accelerator, snapshots=snapshots, after_step=lambda progress: told.append(progress.loss),
    )  # fmt: skip
    torch.save({"values": problem.values(), "loss": loss, "told": told}, folder / f"{rank}.pt")


def diverges(accelerator: Accelerator, folder: Path) -> None:
    """One process's loss is no number: both stop."""
    problem, rank = Problem(), accelerator.process_index
    with pytest.raises(DivergedError):
        train(
            problem.parameters,
            lambda step, micro: problem.loss_of(step, micro, rank) * (float("nan") if rank == 1 and step == 2 else 1),
            STEPS,
            accelerator=accelerator,
        )
    torch.save(problem.values(), folder / f"{rank}.pt")


def resumes_apart(accelerator: Accelerator, folder: Path) -> None:
    """Only one process finds a snapshot: both refuse."""
    problem, rank = Problem(), accelerator.process_index
    with pytest.raises(ResumeError, match="one folder"):
        train(
            problem.parameters, lambda step, micro: problem.loss_of(step, micro, rank), STEPS,
            accelerator=accelerator, snapshots=Snapshots(folder / f"of rank {rank}.snapshot", {}),
        )  # fmt: skip
    (folder / f"{rank}.pt").touch()


def _process(rank: int, port: int, folder: Path, jobs: list[Callable[[Accelerator, Path], None]]) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    for job in jobs:
        job(accelerator, folder / job.__name__)
    accelerator.wait_for_everyone()  # who leaves first would take the other's connection along
    accelerator.end_training()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left of the jobs above, a folder each."""
    folder, jobs = tmp_path_factory.mktemp("processes"), [learns, diverges, resumes_apart]
    for job in jobs:
        (folder / job.__name__).mkdir()
    apart = Snapshots(folder / resumes_apart.__name__ / "of rank 0.snapshot", {})
    alone = Problem()
    train(alone.parameters, lambda step, micro: alone.loss_of(step, micro, 0), STEPS, snapshots=apart)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn = get_context("spawn")
    both: list[BaseProcess] = [spawn.Process(target=_process, args=(rank, port, folder, jobs)) for rank in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    return folder


def test_two_processes_take_the_step_of_one_with_twice_the_batch(folder: Path) -> None:
    first, second = (torch.load(folder / "learns" / f"{rank}.pt") for rank in range(2))
    problem, told = Problem(), []
    loss = train(
        problem.parameters,
        lambda step, micro: (problem.loss_of(step, micro, 0) + problem.loss_of(step, micro, 1)) / 2,
        STEPS,
        after_step=lambda progress: told.append(progress.loss),
    )
    for name, value in problem.values().items():
        torch.testing.assert_close(first["values"][name], value, atol=1e-6, rtol=1e-5)
        assert torch.equal(first["values"][name], second["values"][name])
    assert not torch.equal(first["values"]["weights"], START)
    assert not torch.equal(first["values"]["rare"], torch.ones(3))
    assert torch.equal(first["values"]["idle"], torch.ones(2))
    assert first["told"] == second["told"] == pytest.approx(told, rel=1e-5)
    assert first["loss"] == pytest.approx(loss, rel=1e-5)


def test_only_the_first_process_writes(folder: Path) -> None:
    assert [path.name for path in (folder / "learns").glob("*.snapshot")] == ["of rank 0.snapshot"]


def test_a_loss_that_is_no_number_in_one_process_stops_both_before_it_does_harm(folder: Path) -> None:
    first, second = (torch.load(folder / "diverges" / f"{rank}.pt") for rank in range(2))
    for name, value in first.items():
        assert value.isfinite().all()
        assert torch.equal(value, second[name])


def test_processes_that_find_different_snapshots_refuse(folder: Path) -> None:
    assert len(list((folder / "resumes_apart").glob("*.pt"))) == 2
