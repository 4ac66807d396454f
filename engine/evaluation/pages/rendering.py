"""Templates to one file of HTML. What comes from a user is escaped; style and script stand in the page as they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_TEMPLATES = Path(__file__).parent / "templates"


def render(name: str, values: Mapping[str, Any]) -> str:
    """The page of a template, `NAME.html`, with the common style and player and its own, `NAME.css` and `NAME.js`."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"grouped": _grouped, "signed": _signed, "setting": setting_rows}
    style = Markup(_text("common.css") + _text(f"{name}.css"))
    script = Markup(_text("common.js") + _text(f"{name}.js"))
    return environment.get_template(f"{name}.html").render(**values, style=style, script=script)


def setting_rows(settings: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Settings as name, value and origin, from a result's `{name: {"value", "origin"}}`."""
    return [(name, _plain(noted["value"]), str(noted["origin"] or "")) for name, noted in settings.items()]


def _plain(value: object) -> str:
    if value is None:
        return "off"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(part) for part in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(part)}" for name, part in value.items())
    return str(value)


def _grouped(count: int | None) -> str:
    return "\u2013" if count is None else f"{count:,}"


def _signed(value: float) -> str:
    """Three decimals with a sign that is as wide as the other."""
    text = f"{value:+.3f}"
    return text.replace("-", "\u2212") if float(text) else "0.000"


def _text(name: str) -> str:
    path = _TEMPLATES / name
    return path.read_text(encoding="utf-8") if path.exists() else ""
