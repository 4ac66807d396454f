"""The forms that learnt weights come in: the one place that knows them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from torch import Tensor, nn

from engine.adapters.bottleneck import AdapterSet
from engine.adapters.choosing import Bottlenecks, LowRank, Trained
from engine.adapters.learnt import Learnt
from engine.adapters.low_rank import LowRankSet
from engine.adapters.weight_deltas import WeightDeltas
from engine.bases.family import Label, Site
from engine.errors import AdapterError, InputError

_FORMS: dict[str, Callable[[Mapping[str, Tensor]], Learnt]] = {
    "bottlenecks": AdapterSet.from_state,
    "residual-serial-bottlenecks": partial(AdapterSet.from_state, form="residual-serial-bottlenecks"),
    "serial-bottlenecks": partial(AdapterSet.from_state, form="serial-bottlenecks"),
    "low-rank": LowRankSet.from_state,
    "weight-deltas": WeightDeltas.from_state,
}


def fresh(
    trained: Trained,
    sites: Sequence[Site],
    labels: Mapping[str, Label],
    denoiser: nn.Module,
    *,
    condition_width: int | None,
    seed: int,
) -> Learnt:
    """Weights that are about to be trained, and that change nothing yet.

    `condition_width` is the width of the image embeddings of appearance guidance, where it is asked for.
    Raises `InputError` where adapters are to sit beside layers that the denoiser has not.
    """
    if isinstance(trained, Bottlenecks):
        if missing := trained.where.without_sites(sites):
            kinds = " and no ".join(kind.replace("_", "-") for kind in missing)
            raise InputError(f"the base has no {kinds} layers that adapters could sit beside: choose other `layers`")
        return AdapterSet.create(
            trained.where.sites(sites),
            trained.hidden_ratio,
            condition_width=condition_width if trained.guidance is not None else None,
            seed=seed,
            hidden_width=trained.hidden_width,
            form=trained.form,
        )
    names = trained.where.names(labels)
    if isinstance(trained, LowRank):
        matrices = [name for name in names if denoiser.get_parameter(name).ndim == 2]
        return LowRankSet.create(matrices, denoiser, trained.rank, seed=seed)
    return WeightDeltas.create(names, denoiser)


def restored(form: str, state: Mapping[str, Tensor]) -> Learnt:
    """Weights as they were stored. Raises `AdapterError` for tensors that are not of that form."""
    if form not in _FORMS:
        raise AdapterError(f"the adapter's weights are {form!r}, which this dv does not know: update dv")
    return _FORMS[form](state)
