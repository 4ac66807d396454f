"""Muon: against torch's own, and what the training loop leaves to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.muon import Muon, orthogonalised
from engine.training import LoopConfig, Progress, Snapshots, generator_at, train

TEN = LoopConfig(steps=10, learning_rate=0.05, weight_decay=0.01, optimizer="muon")


class Problem:
    """A regression with two matrices of one shape, a column and a vector."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.parameters = {
            name: nn.Parameter(torch.randn(shape, generator=generator))
            for name, shape in {"first": (6, 6), "second": (6, 6), "last": (6, 1), "bias": (6,)}.items()
        }

    def loss(self, step: int, micro: int) -> Tensor:
        x = torch.randn(16, 6, generator=generator_at(3, step, str(micro)))
        p = self.parameters
        return ((x @ p["first"] + p["bias"]).tanh() @ p["second"] @ p["last"] - x[:, :1].sin()).square().mean()


def test_an_update_is_torchs_up_to_bfloat16() -> None:
    generator = torch.Generator().manual_seed(1)
    shapes = [(24, 16), (16, 24), (24, 16), (20, 20)]
    ours, theirs = (
        [nn.Parameter(torch.randn(s, generator=torch.Generator().manual_seed(0))) for s in shapes] for _ in "ab"
    )
    pair = (
        Muon(ours, lr=0.01, weight_decay=0.1),
        torch.optim.Muon(theirs, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    )
    before = [p.detach().clone() for p in ours]
    for _ in range(5):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            other.grad = mine.grad.clone()
        for optimizer in pair:
            optimizer.step()
    for mine, other, start in zip(ours, theirs, before, strict=True):
        moved, expected = (mine - start).detach(), (other - start).detach()
        assert (moved - expected).norm() < 0.03 * expected.norm()


def test_directions_are_kept_and_lengths_are_not() -> None:
    generator = torch.Generator().manual_seed(0)
    u, v = (torch.linalg.qr(torch.randn(3, 8, 8, generator=generator)).Q for _ in "uv")
    matrices = u @ torch.diag(torch.logspace(0, -1.5, 8)) @ v.mT
    for made in (orthogonalised(matrices), orthogonalised(matrices * 1e6)):
        inner = u.mT @ made @ v
        lengths = inner.diagonal(dim1=-2, dim2=-1)
        assert (lengths > 0.6).all() and (lengths < 1.3).all()
        assert (inner - torch.diag_embed(lengths)).abs().max() < 0.01


@pytest.mark.parametrize("shape", [(5, 9), (9, 5)])
def test_no_gradient_is_no_update(shape: tuple[int, int]) -> None:
    assert not orthogonalised(torch.zeros(2, *shape)).any()


def test_what_has_no_gradient_stays() -> None:
    still = nn.Parameter(torch.ones(3, 3))
    Muon([still], lr=1.0, weight_decay=0.5).step()
    assert torch.equal(still, torch.ones(3, 3))


def test_a_vector_is_refused() -> None:
    with pytest.raises(ValueError, match="matrices"):
        Muon([nn.Parameter(torch.ones(3))], lr=0.1)


def test_a_kernel_is_updated_as_the_matrix_of_its_outputs() -> None:
    generator = torch.Generator().manual_seed(0)
    start, gradient = torch.randn(2, 6, 4, 3, 3, generator=generator)
    kernel, matrix = nn.Parameter(start.clone()), nn.Parameter(start.flatten(1).clone())
    kernel.grad, matrix.grad = gradient.clone(), gradient.flatten(1).clone()
    for parameter in (kernel, matrix):
        Muon([parameter], lr=0.1).step()
    assert torch.equal(kernel.flatten(1), matrix)
    assert not torch.equal(kernel, start)


def test_the_loop_gives_it_matrices_and_adamw_the_rest() -> None:
    made, adamw = Problem(), Problem()
    before = {name: p.detach().clone() for name, p in made.parameters.items()}
    one = replace(TEN, steps=1, weight_decay=0.0)
    train(made.parameters, made.loss, one)
    train(adamw.parameters, adamw.loss, replace(one, optimizer="adamw"))
    for name in ("last", "bias"):
        assert torch.equal(made.parameters[name], adamw.parameters[name])
    for name in ("first", "second"):
        moved = (made.parameters[name] - before[name]).detach()
        # Its longest direction is as long as an orthogonal update's, of which the mean square's root is 0.2 x 0.05.
        assert float(torch.linalg.matrix_norm(moved, 2)) == pytest.approx(0.2 * 0.05 * 6**0.5, rel=0.35)


def test_five_and_a_stop_and_five_are_ten(tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.step == 5:
            raise KeyboardInterrupt

    whole, resumed = Problem(), Problem()
    train(whole.parameters, whole.loss, TEN)
    snapshots = Snapshots(tmp_path / "part.snapshot", {})
    with pytest.raises(KeyboardInterrupt):
        stopped = Problem()
        train(stopped.parameters, stopped.loss, TEN, snapshots=snapshots, after_step=stop)
    train(resumed.parameters, resumed.loss, TEN, snapshots=snapshots)
    for name, parameter in whole.parameters.items():
        assert torch.equal(parameter, resumed.parameters[name]), name


def test_clipping_and_half_precisions_scale_reach_both() -> None:
    from accelerate import Accelerator

    plain, scaled = Problem(), Problem()
    accelerator = Accelerator(cpu=True)
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    config = replace(TEN, steps=3, max_grad_norm=0.1)
    train(plain.parameters, plain.loss, config)
    train(scaled.parameters, scaled.loss, config, accelerator=accelerator)
    for name, parameter in plain.parameters.items():
        torch.testing.assert_close(scaled.parameters[name], parameter, atol=1e-4, rtol=1e-4)
