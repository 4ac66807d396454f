"""`dv base use`: the default base."""

from __future__ import annotations

from dreamvideo_cli.terminal.options import BaseArgument
from dreamvideo_cli.terminal.output import Out


def use(name: BaseArgument) -> None:
    """Make a base the default.

    Example: dv base use modelscope
    """
    from registry import Registry

    with Registry.open() as registry:
        registry.use_base(name)
    Out().result(name, None)
