"""Identity and motion adapters: bottlenecks in parallel to a layer (paper, section 3.2 and 3.3).

Both add GELU(x W_down + b_down) W_up + b_up to what the block goes on with, o = h + layer(norm(h)). What x is
depends on the form:

- `bottlenecks`: h, the hidden state before the layer's norm;
- `residual-serial-bottlenecks` (paper, Table A5; authors' code): o, the layer's output and the residual;
- `serial-bottlenecks`: layer(norm(h)) alone. Adapters of this form come from older files; no new ones are made.

With appearance guidance lambda * (e W_cond + b_cond) is added to x, e being an image embedding. Because W_down is
linear and e changes neither over positions nor over frames or denoising steps, that is a bias
lambda * (e W_cond + b_cond) W_down on the bottleneck, computed once a sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from engine.adapters.choosing import IDENTITY, MOTION, Form
from engine.adapters.learnt import Learnt, grouped, load_whole, parameters_of
from engine.bases.base import Base
from engine.bases.family import Site
from engine.errors import AdapterError


class Bottleneck(nn.Module):
    """One adapter of input width C and hidden width l; `up` starts at zero, so it starts as nothing.

    `condition_width` is the image embedding's C', or None for an adapter without appearance guidance.
    """

    def __init__(self, width: int, hidden: int, condition_width: int | None = None) -> None:
        super().__init__()
        self.down = nn.Linear(width, hidden)
        self.up = nn.Linear(hidden, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)
        self.condition = nn.Linear(condition_width, width) if condition_width is not None else None

    def bias(self, embedding: Tensor, strength: Tensor) -> Tensor:
        """Appearance guidance as a bias `(B, l)`: embedding `(B, C')`, strength (lambda) `(B,)`."""
        if self.condition is None:
            raise ValueError("this adapter has no appearance guidance")
        return strength[:, None] * F.linear(self.condition(embedding), self.down.weight)

    def forward(self, hidden_states: Tensor, bias: Tensor | None = None) -> Tensor:
        """Hidden states `(N, T, C)` and a bias `(B, l)` whose B divides N, to `(N, T, C)`."""
        inner = self.down(hidden_states)
        if bias is not None:
            per_sample = inner.unflatten(0, (bias.shape[0], -1))
            inner = (per_sample + bias[:, None, None, :].to(inner.dtype)).flatten(0, 1)
        output: Tensor = self.up(F.gelu(inner))
        return output


class AdapterSet(Learnt):
    """Bottlenecks at a number of sites, with one strength for all of them; at strength 0 they are not run."""

    def __init__(self, adapters: Mapping[str, Bottleneck], form: Form = "bottlenecks") -> None:
        super().__init__()
        self.adapters, self._form = dict(adapters), form
        self._biases: dict[str, Tensor] = {}

    @classmethod
    def create(
        cls,
        sites: Iterable[Site],
        hidden_ratio: float,
        *,
        condition_width: int | None,
        seed: int,
        hidden_width: int | None = None,
        form: Form = "bottlenecks",
    ) -> AdapterSet:
        """Fresh adapters for `sites`; torch's default initialisation, from `seed`, `up` at zero.

        Each is `hidden_width` wide inside, or else `hidden_ratio` of its site's width.
        """

        def hidden(site: Site) -> int:
            return hidden_width or max(1, round(site.width * hidden_ratio))

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls({s.name: Bottleneck(s.width, hidden(s), condition_width) for s in sites}, form)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], form: Form = "bottlenecks") -> AdapterSet:
        """Rebuild a set from `state()`. Raises `AdapterError` for tensors that are not a set's."""
        adapters = {}
        for site, tensors in grouped(state).items():
            if "down.weight" not in tensors:
                raise AdapterError(f"the adapter's weights lack {site}/down.weight")
            hidden, width = tensors["down.weight"].shape
            condition = tensors.get("condition.weight")
            adapter = Bottleneck(width, hidden, condition.shape[1] if condition is not None else None)
            load_whole(adapter, tensors, site)
            adapters[site] = adapter
        return cls(adapters, form)

    @property
    def form(self) -> Form:
        return self._form

    def parameters(self) -> dict[str, nn.Parameter]:
        """The trainable parameters by "site/leaf"."""
        return parameters_of(self.adapters)

    def to(self, device: torch.device) -> AdapterSet:
        for adapter in self.adapters.values():
            adapter.to(device)
        return self

    @property
    def widths(self) -> dict[str, int]:
        """Each site's hidden width."""
        return {site: adapter.down.out_features for site, adapter in self.adapters.items()}

    def condition(self, embedding: Tensor | None, strength: Tensor | None = None) -> None:
        """Look at `embedding` `(B, C')` with lambda `strength` `(B,)` from now on; None looks at nothing."""
        if embedding is None or strength is None:
            self._biases = {}
            return
        self._biases = {
            site: adapter.bias(embedding, strength)
            for site, adapter in self.adapters.items()
            if adapter.condition is not None
        }

    @contextmanager
    def attached(self, base: Base) -> Iterator[None]:
        """Sit beside the base's layers inside the context.

        Raises `AdapterError` where the base has no such site, or one of another width.
        """
        handles: list[RemovableHandle] = []
        try:
            for site in self._sites_of(base.sites, base.name):
                handles += self._attach(site)
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _sites_of(self, sites: Sequence[Site], base_name: str) -> list[Site]:
        by_name = {s.name: s for s in sites}
        for name, adapter in self.adapters.items():
            site = by_name.get(name)
            if site is None or site.width != adapter.down.in_features:
                found = "no such layer" if site is None else f"width {site.width} there"
                raise AdapterError(
                    f"the adapter does not fit the base {base_name}: at {name} it has width "
                    f"{adapter.down.in_features}, the base has {found}"
                )
        return [by_name[name] for name in self.adapters]

    def _attach(self, site: Site) -> list[RemovableHandle]:
        adapter = self.adapters[site.name]
        entering: list[Tensor] = []

        def remember(_norm: nn.Module, inputs: tuple[Any, ...]) -> None:
            entering[:] = [inputs[0]]

        def add(_layer: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
            hidden_states = entering.pop()
            if self.strength == 0:
                return None
            addition: Tensor = adapter(self._read(site, hidden_states, output), self._biases.get(site.name))
            return output + (self.strength * addition).to(output.dtype)

        return [site.norm.register_forward_pre_hook(remember), site.layer.register_forward_hook(add)]

    def _read(self, site: Site, hidden_states: Tensor, output: Tensor) -> Tensor:
        """What an adapter reads, of the state before the layer's norm and the layer's output, both `(N, T, C)`."""
        if self.form == "bottlenecks":
            return hidden_states
        return output if self.form == "serial-bottlenecks" or site.gives_sum else hidden_states + output


def identity_sites(sites: Iterable[Site]) -> list[Site]:
    """Every spatial cross-attention (paper, section 3.2), or what a family has for it."""
    return IDENTITY.sites(sites)


def motion_sites(sites: Iterable[Site]) -> list[Site]:
    """Both self-attentions and the feed-forward of every temporal transformer (paper, section 3.3), or what a family
    has for them."""
    return MOTION.sites(sites)
