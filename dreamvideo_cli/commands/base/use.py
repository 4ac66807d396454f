"""`dv base use`: the default base."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dreamvideo_cli.terminal.options import BaseArgument
from dreamvideo_cli.terminal.output import Out

if TYPE_CHECKING:
    pass


def use(name: BaseArgument) -> None:
    """Make a base the default.

    Example: dv base use modelscope
    """
    from registry import Registry

    with Registry.open() as registry:
        registry.use_base(name)
    Out().result(name, None)
