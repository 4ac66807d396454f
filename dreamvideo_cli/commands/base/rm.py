"""`dv base rm`: a base, forgotten."""

from __future__ import annotations

from dreamvideo_cli.terminal.options import BaseArgument
from dreamvideo_cli.terminal.output import Out


def remove(name: BaseArgument) -> None:
    """Forget a base. Its files stay, and so do the adapters made for it.

    Example: dv base rm modelscope
    """
    from dreamvideo_cli.jobs.bases import default_base
    from registry import Registry

    out = Out()
    with Registry.open() as registry:
        row = next((row for row in registry.bases() if row.name == name), None)
        registry.remove_base(name)
        orphans = [a.id for a in registry.adapters() if row is not None and a.base_fingerprint == row.fingerprint]
        still = default_base(registry).name
    if orphans:
        out.warn(f"these adapters need it: {', '.join(orphans)}")
    if row is not None and row.lineage is not None:
        out.note(f"It was tuned here; its files stay in {row.model} until you delete that folder.")
    if row is not None and row.is_default:
        out.note(f"The default is now {still}.")
    out.result(name, None)
