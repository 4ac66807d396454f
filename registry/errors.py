"""What can go wrong with the registry through no fault of ours. Everything else stays a traceback."""

from __future__ import annotations


class RegistryError(Exception):
    """Root of the registry's errors. The message says what was wrong, with what, and what to do."""


class UnknownNameError(RegistryError):
    """No adapter or base of this name (or no such version of it) is in the registry."""


class NameTakenError(RegistryError):
    """The name belongs to something else already."""


class InvalidNameError(RegistryError):
    """The text can't be a name, or can't name a version."""


class DamagedAdapterError(RegistryError):
    """An adapter's folder lacks files, or holds other ones than were published."""


class PackError(RegistryError):
    """A file isn't one that `dv export` wrote, or is damaged, or holds what none may hold."""


class NewerRegistryError(RegistryError):
    """The registry, an adapter's `adapter.json` or an exported file was written by a newer dv."""


class AddressError(RegistryError):
    """What `DV_REGISTRY_URL` or `DV_HOME` says can't be used: it is no address or folder, or lacks a driver."""


class RegistryUnavailableError(RegistryError):
    """The disk or the server stands in the way: read-only, full, damaged, not there, or held by another process."""


class DamagedRegistryError(RegistryUnavailableError):
    """The database isn't one of dv, or not any more."""
