"""The training loop: stopping and resuming, failing, and the arithmetic of a step."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from engine.errors import DivergedError, OutOfMemoryError, ResumeError
from engine.training import LoopConfig, Progress, Snapshots, generator_at, train

TEN = LoopConfig(steps=10, learning_rate=0.05, weight_decay=0.01)


class Problem:
    """A small regression whose batches come from (seed, step, micro-batch)."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.weights = nn.Parameter(torch.randn(4, 3, generator=generator))
        self.bias = nn.Parameter(torch.zeros(3))
        self.average = torch.zeros(4, 3)
        self.steps_run: list[int] = []

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        return {"weights": self.weights, "bias": self.bias}

    def loss(self, step: int, micro: int, rows: int = 8) -> Tensor:
        self.steps_run.append(step)
        x = torch.randn(rows, 4, generator=generator_at(3, step, str(micro)))
        return (x @ self.weights + self.bias - x[:, :3].sin()).square().mean()

    def follow(self, _progress: Progress) -> None:
        self.average.lerp_(self.weights.detach(), 0.5)

    def values(self) -> list[Tensor]:
        return [self.weights.detach().clone(), self.bias.detach().clone(), self.average.clone()]


def snapshots_in(folder: Path, every: int = 100, **identity: object) -> Snapshots:
    return Snapshots(folder / "part.snapshot", identity, every)


def equal(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture
def uninterrupted() -> tuple[list[Tensor], float]:
    problem = Problem()
    loss = train(
        problem.parameters, problem.loss, TEN, extra_state={"average": problem.average}, after_step=problem.follow
    )
    return problem.values(), loss


def run(problem: Problem, snapshots: Snapshots, after: Callable[[Progress], None] | None = None) -> float:
    def after_step(progress: Progress) -> None:
        problem.follow(progress)
        if after is not None:
            after(progress)

    return train(
        problem.parameters,
        problem.loss,
        TEN,
        extra_state={"average": problem.average},
        snapshots=snapshots,
        after_step=after_step,
    )


def raising(error: type[BaseException], at: int) -> Callable[[Progress], None]:
    def after(progress: Progress) -> None:
        if progress.step == at:
            raise error

    return after


@pytest.mark.parametrize("at", [1, 5, 9])
def test_five_and_a_stop_and_five_are_ten(tmp_path: Path, uninterrupted: tuple[list[Tensor], float], at: int) -> None:
    snapshots = snapshots_in(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(Problem(), snapshots, raising(KeyboardInterrupt, at))
    resumed = Problem()
    loss = run(resumed, snapshots)
    assert resumed.steps_run == list(range(at, 10))
    assert equal(resumed.values(), uninterrupted[0])
    assert loss == uninterrupted[1]


def test_a_killed_run_goes_on_from_its_last_snapshot(tmp_path: Path, uninterrupted: tuple[list[Tensor], float]) -> None:
    snapshots = snapshots_in(tmp_path, every=3)
    with pytest.raises(SystemExit):
        run(Problem(), snapshots, raising(SystemExit, 8))
    resumed = Problem()
    loss = run(resumed, snapshots)
    assert resumed.steps_run == list(range(6, 10))
    assert equal(resumed.values(), uninterrupted[0])
    assert loss == uninterrupted[1]


def test_ctrl_c_between_the_update_and_its_count_is_not_counted_twice(
    tmp_path: Path, uninterrupted: tuple[list[Tensor], float]
) -> None:
    """A signal may arrive anywhere: here right after the optimizer changed the weights."""
    done = []

    def stop(*_: object) -> None:
        done.append(1)
        if len(done) == 5:
            raise KeyboardInterrupt

    handle = register_optimizer_step_post_hook(stop)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(Problem(), snapshots_in(tmp_path, every=2))
    finally:
        handle.remove()
    resumed = Problem()
    run(resumed, snapshots_in(tmp_path, every=2))
    assert equal(resumed.values(), uninterrupted[0])


def test_a_finished_run_is_not_repeated(tmp_path: Path, uninterrupted: tuple[list[Tensor], float]) -> None:
    run(Problem(), snapshots_in(tmp_path))
    again = Problem()
    assert run(again, snapshots_in(tmp_path)) == uninterrupted[1]
    assert again.steps_run == []
    assert equal(again.values(), uninterrupted[0])


def test_a_snapshot_of_other_settings_is_refused_and_kept(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Problem(), snapshots_in(tmp_path, seed=1), raising(KeyboardInterrupt, 5))
    path = snapshots_in(tmp_path).path
    before = path.read_bytes()
    other = Problem()
    with pytest.raises(ResumeError, match="other settings or sources"):
        run(other, snapshots_in(tmp_path, seed=2))
    assert other.steps_run == []
    assert path.read_bytes() == before


def test_snapshots_leave_nothing_beside_them(tmp_path: Path) -> None:
    run(Problem(), snapshots_in(tmp_path, every=2))
    assert [p.name for p in tmp_path.iterdir()] == ["part.snapshot"]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_before_it_does_harm(tmp_path: Path, bad: float) -> None:
    problem = Problem()
    seen: list[list[Tensor]] = []

    def loss(step: int, micro: int) -> Tensor:
        if step == 4:
            seen.append(problem.values())
            return problem.weights.sum() * bad
        return problem.loss(step, micro)

    with pytest.raises(DivergedError, match="at step 5: lower `learning_rate`"):
        train(problem.parameters, loss, TEN, snapshots=snapshots_in(tmp_path, every=2))
    assert torch.equal(problem.weights, seen[0][0])
    assert torch.load(tmp_path / "part.snapshot", weights_only=True)["step"] == 4


def test_micro_batches_equal_the_whole_batch() -> None:
    parts, whole = Problem(), Problem()

    def joined(step: int, _micro: int) -> Tensor:
        return torch.stack([whole.loss(step, micro) for micro in range(4)]).mean()

    told: list[float] = []
    four = LoopConfig(steps=10, learning_rate=0.05, gradient_accumulation=4)
    train(parts.parameters, parts.loss, four, after_step=lambda p: told.append(p.loss))
    expected: list[float] = []
    one = LoopConfig(steps=10, learning_rate=0.05)
    train(whole.parameters, joined, one, after_step=lambda p: expected.append(p.loss))
    torch.testing.assert_close(parts.weights, whole.weights, atol=1e-5, rtol=1e-5)
    assert told == pytest.approx(expected, rel=1e-5)
    assert parts.steps_run == [step for step in range(10) for _ in range(4)]


def test_the_rate_rises_and_falls() -> None:
    config = LoopConfig(steps=10, learning_rate=0.5, warmup_steps=4, decay_steps=4)
    told: list[float] = []
    problem = Problem()
    moved: list[float] = []

    def note(progress: Progress) -> None:
        told.append(progress.learning_rate)
        if progress.step == 1:
            moved.append(float((problem.weights - Problem().weights).detach().abs().max()))

    train(problem.parameters, problem.loss, config, after_step=note)
    assert told == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5, 0.5, 0.5, 0.375, 0.25, 0.125])
    # AdamW's first step moves each weight by the learning rate.
    assert moved[0] == pytest.approx(0.125, rel=1e-3)


def test_the_rate_is_constant_as_in_the_paper() -> None:
    told: list[float] = []
    problem = Problem()
    train(problem.parameters, problem.loss, TEN, after_step=lambda p: told.append(p.learning_rate))
    assert told == [0.05] * 10


def test_a_loop_is_adamw() -> None:
    problem, twin = Problem(), Problem()
    config = LoopConfig(steps=5, learning_rate=0.02, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1)
    train(problem.parameters, problem.loss, config)
    optimizer = torch.optim.AdamW([twin.weights, twin.bias], lr=0.02, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1)
    for step in range(5):
        optimizer.zero_grad()
        twin.loss(step, 0).backward()
        optimizer.step()
    assert torch.equal(problem.weights, twin.weights)


def test_the_gradients_norm_is_clipped() -> None:
    free, clipped = Problem(), Problem()
    # With an epsilon far above the gradients AdamW's step is proportional to them.
    train(free.parameters, free.loss, LoopConfig(steps=1, learning_rate=1e6, eps=1e6))
    train(clipped.parameters, clipped.loss, LoopConfig(steps=1, learning_rate=1e6, eps=1e6, max_grad_norm=0.25))
    start = Problem()
    moved = torch.cat([(clipped.weights - start.weights).flatten(), clipped.bias]).detach()
    assert moved.norm() == pytest.approx(0.25, rel=1e-2)
    assert (free.weights - start.weights).detach().norm() > 0.5


def test_clipping_sees_gradients_without_the_scale_of_half_precision() -> None:
    plain, scaled = Problem(), Problem()
    accelerator = Accelerator(cpu=True)
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    config = LoopConfig(steps=3, learning_rate=1e6, eps=1e6, max_grad_norm=3.0)
    train(plain.parameters, plain.loss, config)
    train(scaled.parameters, scaled.loss, config, accelerator=accelerator)
    torch.testing.assert_close(scaled.weights, plain.weights, atol=1e-4, rtol=1e-4)


def _ask_for_too_much() -> Tensor:
    return torch.empty(2**60)


def _cuda_says_no() -> Tensor:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def _apple_says_no() -> Tensor:
    raise RuntimeError("MPS backend out of memory (MPS allocated: 8.60 GB, max allowed: 9.07 GB).")


@pytest.mark.parametrize("loss", [_ask_for_too_much, _cuda_says_no, _apple_says_no])
def test_too_little_memory_says_what_to_lower(loss: Callable[[], Tensor]) -> None:
    with pytest.raises(OutOfMemoryError) as caught:
        train(Problem().parameters, lambda *_: loss(), TEN)
    resumable, _, anew = str(caught.value).partition("starts anew")
    assert "`gradient_checkpointing`" in resumable
    for setting in ("`batch_size`", "`frames`", "`size`", "bf16"):
        assert setting in anew and setting not in resumable


@pytest.mark.parametrize("every", [1, 2, 100])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_neither_kept_nor_given_back(tmp_path: Path, every: int, bad: float) -> None:
    """The loss was a number at every step: only the last update spoilt them."""
    problem = Problem()

    def spoil(progress: Progress) -> None:
        if progress.step == 10:
            with torch.no_grad():
                problem.bias[1] = bad

    with pytest.raises(DivergedError, match="weights are no longer numbers at step 10: lower `token_rate`"):
        train(
            problem.parameters,
            problem.loss,
            TEN,
            snapshots=snapshots_in(tmp_path, every=every),
            after_step=spoil,
            rate_setting="token_rate",
        )
    kept = tmp_path / "part.snapshot"
    steps = torch.load(kept, weights_only=True)["step"] if kept.exists() else 0
    assert steps == {1: 9, 2: 8, 100: 0}[every]


def test_ctrl_c_keeps_no_weights_that_are_no_numbers(tmp_path: Path) -> None:
    problem = Problem()

    def stop(progress: Progress) -> None:
        if progress.step == 5:
            with torch.no_grad():
                problem.weights[0, 0] = math.nan
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(problem.parameters, problem.loss, TEN, snapshots=snapshots_in(tmp_path, every=3), after_step=stop)
    assert torch.load(tmp_path / "part.snapshot", weights_only=True)["step"] == 3


def test_no_number_at_the_first_step_is_no_fault_of_the_rate() -> None:
    with pytest.raises(DivergedError, match="at the first step, before anything was learnt") as caught:
        train(Problem().parameters, lambda *_: torch.tensor(math.nan, requires_grad=True), TEN)
    assert "learning_rate" not in str(caught.value)


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "another", "foreign"])
def test_a_damaged_snapshot_is_named(tmp_path: Path, damage: str) -> None:
    snapshots = snapshots_in(tmp_path)
    run(Problem(), snapshots)
    whole = snapshots.path.read_bytes()
    if damage == "another":
        torch.save({"digest": snapshots.digest, "parameters": {}}, snapshots.path)
    elif damage == "foreign":
        torch.save([1, 2, 3], snapshots.path)
    else:
        content = {"empty": b"", "cut": whole[: len(whole) // 2], "text": b"{}"}[damage]
        snapshots.path.write_bytes(content)
    with pytest.raises(ResumeError, match=r"part\.snapshot is damaged .*`restart`"):
        run(Problem(), snapshots)


def test_other_errors_are_left_alone() -> None:
    def broken(_step: int, _micro: int) -> Tensor:
        return torch.ones(2) @ torch.ones(3)

    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        train(Problem().parameters, broken, TEN)


def test_randomness_is_a_function_of_seed_step_and_stream() -> None:
    def draw(*of: object) -> float:
        return float(torch.rand((), generator=generator_at(*of)))  # type: ignore[arg-type]

    assert draw(1, 2, "a") == draw(1, 2, "a")
    assert len({draw(1, 2, "a"), draw(2, 2, "a"), draw(1, 3, "a"), draw(1, 2, "b"), draw(12, 2, "a")}) == 5
