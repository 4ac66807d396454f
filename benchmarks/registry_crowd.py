"""Several processes that publish many small adapters into one registry at the same time: is each of them there?

    python -m benchmarks.registry_crowd --processes 8 --adapters 200

Half of them all write versions of one name, the others a name of their own each. Ends with exit code 1 where an
adapter is lost, or where a process was told anything but yes. With `DV_REGISTRY_URL` it fills that database, which has
to be empty.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

from registry import NewAdapter, Registry, RegistryError


def publish(home: Path, number: int, count: int) -> str | None:
    """Publish `count` adapters, each by a registry opened anew as a `dv` would; give the first error."""
    try:
        for index in range(count):
            with Registry.open(home) as registry, registry.staging() as staged:
                (staged / "adapter.safetensors").write_text(f"{number} {index}")
                registry.publish(staged, some_adapter("shared" if number % 2 else f"own{number}", number, index), [])
    except RegistryError as error:
        return f"{type(error).__name__}: {error}"
    return None


def some_adapter(name: str, process: int, index: int) -> NewAdapter:
    """What a run says; its seed tells who published it."""
    return NewAdapter(
        kind="subject", name=name, base_fingerprint="f" * 64, base_name="embedded", method="dreamvideo",
        hyperparameters={}, origins={}, seed=process * 1_000_000 + index, device="cpu", dtype="fp32",
        library_versions={}, started_at="2026-01-01T10:00:00+00:00", ended_at="2026-01-01T11:00:00+00:00", steps=1,
        final_loss=0.5, dv_version="0.1.0", class_word="dog",
    )  # fmt: skip


def lost(home: Path, processes: int, count: int) -> list[str]:
    """What isn't as it should be."""
    with Registry.open(home) as registry:
        adapters = registry.adapters()
        found = [f"{each.adapter.id}: {each.detail}" for each in registry.check(adapters) if each.is_mismatch]
    wanted = {process * 1_000_000 + index for process in range(processes) for index in range(count)}
    found += [f"the adapter with the seed {seed}" for seed in sorted(wanted - {adapter.seed for adapter in adapters})]
    if len({adapter.id for adapter in adapters}) != len(adapters) or len(adapters) != processes * count:
        found.append(f"there are {len(adapters)} adapters")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=8, help="how many write at once")
    parser.add_argument("--adapters", type=int, default=200, help="how many each of them publishes")
    options = parser.parse_args()
    # Processes that know nothing of each other, as those of a shell.
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="dv-crowd-") as folder:
        home = Path(folder) / "home"
        began = time.monotonic()
        with context.Pool(options.processes) as pool:
            work = [(home, number, options.adapters) for number in range(options.processes)]
            errors = [error for error in pool.starmap(publish, work, chunksize=1) if error is not None]
        took = time.monotonic() - began
        missing = lost(home, options.processes, options.adapters)
    report = {
        "processes": options.processes,
        "adapters": options.processes * options.adapters,
        "seconds": round(took, 1),
        "errors": errors,
        "lost": missing,
    }
    print(json.dumps(report, indent=2))
    sys.exit(1 if errors or missing else 0)


if __name__ == "__main__":
    main()
