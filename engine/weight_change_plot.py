"""Delta by kind of layer as bars: a PNG or SVG by matplotlib, which is an extra (`plots`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from engine.errors import InputError
from engine.files import written_aside
from engine.weight_changes import KindChange

SUFFIXES = (".png", ".svg")


def check_drawing(file: Path) -> None:
    """Raise `InputError` where no such file can be drawn."""
    if file.suffix.lower() not in SUFFIXES:
        raise InputError(f"`plot` is {file}: it must end with {' or '.join(SUFFIXES)}")
    if find_spec("matplotlib") is None:
        raise InputError("`plot` needs matplotlib: install it with pip install 'dreamvideo-cli[plots]'")


def draw(changes: Mapping[str, Sequence[KindChange]], file: Path) -> None:
    """A panel for each of `changes` (which parameters were fine-tuned), a bar for each kind of layer: the mean Delta,
    and a whisker from the least to the largest. Equal changes have equal bytes. Raises `InputError`."""
    check_drawing(file)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "dv", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(3.4 * len(changes), 2.8), layout="constrained")
        panels = figure.subplots(1, len(changes), squeeze=False)[0]
        for panel, (parameters, kinds) in zip(panels, changes.items(), strict=True):
            names = [kind.kind.replace("_", "-") for kind in kinds]
            means = [kind.mean for kind in kinds]
            whiskers = [[kind.mean - kind.least for kind in kinds], [kind.most - kind.mean for kind in kinds]]
            panel.bar(names, means, yerr=whiskers, capsize=3, color="#4878a8", ecolor="#404040", width=0.6)
            panel.set_title(f"{parameters} parameters fine-tuned")
            panel.tick_params(axis="x", rotation=20)
            panel.spines[["top", "right"]].set_visible(False)
        panels[0].set_ylabel("Delta, mean of the layers")
        kind = file.suffix.lower().removeprefix(".")
        with written_aside(file) as partial:
            figure.savefig(partial, format=kind, dpi=160, metadata={"Date": None} if kind == "svg" else None)
