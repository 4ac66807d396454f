"""Errors that a person can cause or mend. Everything else stays a traceback: it is our fault."""

from __future__ import annotations


class EngineError(Exception):
    """Root of the engine's errors. The message says what was wrong, with what, and what to do."""


class InputError(EngineError):
    """What was given can't be used: a file, a name, a value."""


class BaseError(InputError):
    """A base model is missing, incomplete, or not of a family that is known."""


class AdapterError(InputError):
    """An adapter is missing, damaged, or made for another base."""


class JobError(EngineError):
    """A job that was set up well failed on the way."""


class OutOfMemoryError(JobError):
    """The device has too little memory for the job."""


class DivergedError(JobError):
    """The loss stopped being a number."""


class ResumeError(InputError):
    """A snapshot belongs to another run."""
