"""Everything that can go wrong on purpose, in one tree.

    FlopsightError                      exit code
    ├── UsageError                          2   the question itself cannot be answered as asked
    │   ├── UnknownModel                    2   no bundled name, file or plugin of that name
    │   └── UnknownHardware                 2   no chip, node or link of that name
    ├── InputError                          3   a file or value was read and cannot be true
    │   ├── BadConfig                       3   a model config with a wrong, missing or absurd value
    │   ├── BadFile                         3   a file that is truncated, too large, or not what its name says
    │   └── Impossible                      3   numbers that contradict each other (above 100 % of a peak)
    └── MissingCapability                   4   an extra, a driver or the network is needed and is not there

A message has three beats: what was expected, what was read, what to do next.
"""

from __future__ import annotations


class FlopsightError(Exception):
    """Root of every failure that flopsight expects; its text is one to three sentences for a person."""

    exit_code = 1


class UsageError(FlopsightError, ValueError):
    """The request cannot be answered as asked: an option, a name or a combination is wrong."""

    exit_code = 2


class UnknownModel(UsageError):
    """No bundled model, file, plugin or hub id goes by this name."""


class UnknownHardware(UsageError):
    """No chip, node or link in the catalogue goes by this name."""


class InputError(FlopsightError, ValueError):
    """Something was read that cannot be true or cannot be understood."""

    exit_code = 3


class BadConfig(InputError):
    """A model config holds a wrong, missing or absurd value."""


class BadFile(InputError):
    """A file is truncated, too large, unreadable, or not of the format it was taken for."""


class Impossible(InputError):
    """Two numbers contradict each other, such as more FLOPs a second than the peak."""


class MissingCapability(FlopsightError, RuntimeError):
    """An optional package, a driver or the network is needed for this and is not there."""

    exit_code = 4


class FlopsightWarning(UserWarning):
    """Something was left out or guessed, and the answer says so."""
