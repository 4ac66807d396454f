"""The paper's tables of figures (arXiv 2312.04433), and one of every method, from what came of a suite's cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from engine.evaluation.statistics import Interval, bootstrap_interval, fewest_levels, paired_interval
from engine.evaluation.suites.results import CellAdapter, CellResult, made
from engine.methods.common import Kind
from engine.methods.table import known_as

Sort = Literal["joint", "subject", "motion"]
"""What is customized: both, or one alone."""
SORTS: tuple[Sort, ...] = ("joint", "subject", "motion")
OURS = "dreamvideo"
FOUR = ("clip_t", "clip_i", "dino_i", "temporal_consistency")
"""The paper's metrics (section 4.1)."""
TITLES = {
    "clip_t": "CLIP-T",
    "clip_i": "CLIP-I",
    "dino_i": "DINO-I",
    "temporal_consistency": "T.Cons",
    "motion_fidelity": "Motion fidelity",
    "motion_amount": "Motion amount",
    "top1": "Top-1",
    "sibling_top1": "Sibling top-1",
    "rank": "Rank",
    "colour_likeness": "Colour likeness",
}
"""Column titles, those of `engine.evaluation.scoring.METRICS`, which loads torch."""
UNRANKED = frozenset({"motion_amount", "rank"})
"""More of it isn't better."""
_DECIMALS = 3
Group = tuple[str, str, str, int]


@dataclass(frozen=True)
class Line:
    """A row of one of the paper's tables: by which methods the adapters behind its cells were learnt."""

    title: str
    subject: str | None
    motion: str | None
    ours: bool = False
    """Not in the paper: our addition."""


@dataclass(frozen=True)
class Form:
    """One of the paper's tables. Differences are to the last line."""

    number: str
    caption: str
    sort: Sort
    metrics: tuple[str, ...]
    lines: tuple[Line, ...]
    with_parameters: bool = True


FORMS = (
    Form(
        "1", "Customizing subjects and motions together", "joint", FOUR,
        (
            Line("AnimateDiff", "animatediff", "animatediff"),
            Line("ModelScopeT2V", "modelscope", "modelscope"),
            Line("LoRA", "lora", "lora"),
            Line("DreamVideo", OURS, OURS),
        ),
    ),
    Form(
        "2", "Customizing subjects", "subject", FOUR,
        (
            Line("Textual Inversion", "textual-inversion", None),
            Line("Dreamix", "dreamix", None),
            Line("DreamVideo", OURS, None),
        ),
    ),
    Form(
        "3", "Customizing motions", "motion", ("clip_t", "temporal_consistency"),
        (Line("ModelScopeT2V", None, "modelscope"), Line("DreamVideo", None, OURS)),
    ),
    Form(
        "5", "Ablation of each component", "joint", FOUR,
        (
            Line("w/o textual identity", f"{OURS}-no-token", OURS),
            Line("w/o identity adapter", f"{OURS}-no-adapter", OURS, ours=True),
            Line("w/o motion adapter", OURS, None),
            Line("w/o appearance guidance", OURS, f"{OURS}-no-guidance"),
            Line("DreamVideo", OURS, OURS),
        ),
        with_parameters=False,
    ),
    Form(
        "A1", "Customizing subjects: Custom Diffusion", "subject", FOUR,
        (Line("Custom Diffusion", "custom-diffusion", None), Line("DreamVideo", OURS, None)),
    ),
    Form(
        "A4", "Adapter (hidden width 32) against LoRA (rank 32)", "joint", FOUR,
        (Line("LoRA", "lora", "lora"), Line("Adapter", f"{OURS}-width-32", f"{OURS}-width-32")),
    ),
    Form(
        "A5", "Adapters of different kinds, customizing motions", "motion", ("clip_t", "temporal_consistency"),
        (
            Line("Serial, all layers", None, f"{OURS}-serial"),
            Line("Parallel, attention", None, f"{OURS}-attention"),
            Line("Parallel, feed-forward", None, f"{OURS}-feed-forward"),
            Line("Parallel, all layers", None, OURS),
        ),
        with_parameters=False,
    ),
)  # fmt: skip
"""Tables 4, A2 and A3 are of people's votes: `engine.evaluation.suites.tallies`. AnimateDiff (Table 1) and
Tune-A-Video (Table 3) are learnt on bases of other families, in suites of their own."""


@dataclass(frozen=True)
class Figure:
    """A mean over `count` videos, and the mean difference to the reference over the `paired` cells that both have.

    `levels` is the number of subjects or of motions, the smaller of the two of which there are several; 1 where there
    are several of neither.
    """

    interval: Interval
    count: int
    levels: int
    difference: Interval | None = None
    paired: int = 0

    @property
    def differs(self) -> bool:
        """Whether 0 lies outside the difference's interval."""
        return self.difference is not None and not self.difference.low <= 0 <= self.difference.high


@dataclass(frozen=True)
class TableRow:
    """The figures of one method of the suite by metric, None where none of its videos has one."""

    title: str
    figures: Mapping[str, Figure | None]
    parameters: int | None
    videos: int
    failed: int
    is_reference: bool = False
    ours: bool = False


@dataclass(frozen=True)
class Table:
    """One table. `number` is the paper's, else empty; `ranks` has 1 and 2 by row and metric."""

    number: str
    caption: str
    sort: Sort
    metrics: tuple[str, ...]
    rows: tuple[TableRow, ...]
    with_parameters: bool = True
    ranks: Mapping[tuple[int, str], int] = field(default_factory=dict)

    @property
    def reference(self) -> TableRow | None:
        """The row that the others' differences are to."""
        return next((row for row in self.rows if row.is_reference), None)

    @property
    def fewest_levels(self) -> int:
        """The fewest subjects or motions that any figure rests on, as `Figure.levels` counts them."""
        return min((f.levels for row in self.rows for f in row.figures.values() if f), default=0)

    @property
    def is_even(self) -> bool:
        """Whether every row rests on the same number of videos."""
        return len({row.videos for row in self.rows}) <= 1


def sort_of(result: CellResult) -> Sort | None:
    """What a cell customizes; None where it names neither a subject nor a motion."""
    cell = result.cell
    if cell.subject is not None:
        return "joint" if cell.motion is not None else "subject"
    return "motion" if cell.motion is not None else None


def group_of(result: CellResult) -> Group:
    """What cells of several methods have in common: they pair."""
    return (result.cell.subject or "", result.cell.motion or "", result.cell.prompt, result.cell.seed)


def paper_tables(results: Sequence[CellResult]) -> list[Table]:
    """Those of the paper's tables of which at least two rows have videos."""
    found = (_paper_table(form, results) for form in FORMS)
    return [table for table in found if table is not None]


def overview(results: Sequence[CellResult]) -> list[Table]:
    """A table of every method with every metric, for each sort of customization there is."""
    captions: dict[Sort, str] = {
        "joint": "Every method, customizing subjects and motions together",
        "subject": "Every method, customizing subjects",
        "motion": "Every method, customizing motions",
    }
    tables = []
    for sort in SORTS:
        mine = [result for result in results if sort_of(result) == sort]
        metrics = metrics_of(mine)
        entries = [Entry(name, cells, is_reference=name == OURS) for name, cells in by_row(mine).items()]
        rows = rows_of(entries, metrics)
        if rows:
            tables.append(ranked_table("", captions[sort], sort, metrics, rows))
    return tables


def by_row(results: Iterable[CellResult]) -> dict[str, list[CellResult]]:
    """The cells of each of the suite's methods, and of each step that it is compared at, in the order of `results`."""
    found: dict[str, list[CellResult]] = {}
    for result in results:
        found.setdefault(result.cell.row, []).append(result)
    return found


def metrics_of(results: Iterable[CellResult]) -> tuple[str, ...]:
    """The metrics that any cell has a figure of: the known ones in their order, then others by name."""
    found = {name for result in results for name, value in result.scores.items() if value is not None}
    return (*(name for name in TITLES if name in found), *sorted(found - set(TITLES)))


def title_of(metric: str) -> str:
    """A metric's column title."""
    return TITLES.get(metric, metric.replace("_", " "))


def is_at_end(result: CellResult) -> bool:
    """Whether every adapter of a video is as it was at its last step."""
    return all(part.step is None for part in result.parts.values())


def parameters_of(results: Iterable[CellResult], kinds: Sequence[str] = ("subject", "motion")) -> int | None:
    """How many parameters a method trains for these kinds of adapter; None where it learns neither."""
    counts = [
        sum(part.trainable_parameters for kind, part in result.parts.items() if kind in kinds)
        for result in results
        if set(kinds) & set(result.parts)
    ]
    return max(counts, default=None)


def _paper_table(form: Form, results: Sequence[CellResult]) -> Table | None:
    """Where a suite has no videos of a subject or a motion alone, those of both serve: without an adapter for the
    other of the two, or with DreamVideo's."""
    other = {"subject": "motion", "motion": "subject"}.get(form.sort)
    choices: list[tuple[str, Sort, str | None]] = [("", form.sort, None)]
    if other:
        where = f"measured on videos of a subject and a motion, with {{}} adapter for the {other}"
        choices += [(where.format("no"), "joint", None), (where.format("DreamVideo's"), "joint", OURS)]
    kinds: tuple[Kind, ...] = ("subject", "motion") if form.sort == "joint" else (form.sort,)
    best: Table | None = None
    most = 1
    for basis, sort, beside in choices:
        methods = by_row(result for result in results if sort_of(result) == sort)
        theirs = {other: beside} if beside else {}
        found = [_entries(line, theirs, methods, is_reference=line is form.lines[-1]) for line in form.lines]
        if (lines := sum(any(made(entry.cells) for entry in entries) for entries in found)) > most:
            most = lines
            caption = f"{form.caption}, {basis}" if basis else form.caption
            *others, last = found
            # What differences are to stands last.
            rows = rows_of([*(entry for entries in others for entry in entries), *reversed(last)], form.metrics, kinds)
            best = ranked_table(form.number, caption, sort, form.metrics, rows, form.with_parameters)
    return best


@dataclass(frozen=True)
class Entry:
    """The cells of one of the suite's methods at one step, and what its row is called."""

    title: str
    cells: Sequence[CellResult]
    ours: bool = False
    is_reference: bool = False


def _entries(
    line: Line, beside: Mapping[str | None, str], methods: Mapping[str, Sequence[CellResult]], is_reference: bool
) -> list[Entry]:
    """Those of the suite's methods whose adapters were learnt by the line's methods, and by those `beside` them.

    The one that has the line's name, or that of its methods, or else the suite's first, at its last step if it is
    there, is the line's; the others are called as in the suite.
    """
    named = {"subject": line.subject, "motion": line.motion, **beside}
    wanted = {kind: name for kind, name in named.items() if name is not None}
    found = [name for name, cells in methods.items() if any(_learnt_by(cell) == wanted for cell in cells)]
    own = {name.casefold() for name in (line.title, line.subject, line.motion) if name}
    found.sort(key=lambda name: (name.casefold() not in own, not is_at_end(methods[name][0])))
    return [
        Entry(
            name if number else _title(line, methods[name]),
            methods[name],
            line.ours or number > 0,
            is_reference and not number,
        )
        for number, name in enumerate(found)
    ]


def _title(line: Line, cells: Sequence[CellResult]) -> str:
    """The line's own, and the step where it is not the last."""
    return ", ".join(text for text in (line.title, cells[0].cell.steps) if text)


def _learnt_by(result: CellResult) -> dict[str, str | None]:
    """By which methods a cell's adapters were learnt, an ablation by its name even where options made it one."""
    return {kind: known_as(kind, part.method, _options(part)) for kind, part in result.parts.items()}


def _options(part: CellAdapter) -> dict[str, object]:
    return {name: told["value"] for name, told in part.settings.items() if told["origin"] == "option"}


def rows_of(
    entries: Sequence[Entry], metrics: Sequence[str], kinds: Sequence[Kind] = ("subject", "motion")
) -> list[TableRow]:
    """A row for each entry that has videos; differences are to the reference among them."""
    against = [result for entry in entries if entry.is_reference for result in made(entry.cells)]
    rows = []
    for entry in entries:
        videos = made(entry.cells)
        if videos:
            figures = {metric: figure_of(metric, videos, [] if entry.is_reference else against) for metric in metrics}
            failed = len(entry.cells) - len(videos)
            parameters = parameters_of(videos, kinds)
            rows.append(TableRow(entry.title, figures, parameters, len(videos), failed, entry.is_reference, entry.ours))
    return rows


def figure_of(metric: str, videos: Sequence[CellResult], against: Sequence[CellResult]) -> Figure | None:
    """The figure of some videos, and the difference to those that they are held against; None without any score."""
    values = _values(metric, videos)
    if not values:
        return None
    interval = bootstrap_interval([*values.values()], factors=_factors(values))
    theirs = _values(metric, against)
    both = [group for group in values if group in theirs]
    levels = fewest_levels(_factors(values))
    if not both:
        return Figure(interval, len(values), levels)
    difference = paired_interval(
        [values[group] for group in both], [theirs[group] for group in both], factors=_factors(both)
    )
    return Figure(interval, len(values), levels, difference, len(both))


def _values(metric: str, videos: Sequence[CellResult]) -> dict[Group, float]:
    scores = {group_of(result): result.scores.get(metric) for result in videos}
    return {group: value for group, value in scores.items() if value is not None}


def _factors(groups: Iterable[Group]) -> list[tuple[str, ...]]:
    """What videos have in common: all of a subject share its adapter and pictures, all of a motion its own."""
    subjects, motions, _, _ = zip(*groups, strict=True)
    return [subjects, motions]


def ranked_table(
    number: str,
    caption: str,
    sort: Sort,
    metrics: tuple[str, ...],
    rows: Sequence[TableRow],
    with_parameters: bool = True,
) -> Table:
    """A table whose best and second rows are known by metric."""
    ranks: dict[tuple[int, str], int] = {}
    for metric in metrics:
        shown = {at: round(f.interval.mean, _DECIMALS) for at, row in enumerate(rows) if (f := row.figures[metric])}
        if metric in UNRANKED or len(shown) < 2:
            continue
        best, *others = sorted(set(shown.values()), reverse=True)
        second = others[0] if others and len(shown) > 2 else None
        ranks |= {(at, metric): 1 if value == best else 2 for at, value in shown.items() if value in (best, second)}
    return Table(number, caption, sort, metrics, tuple(rows), with_parameters, ranks)
