# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The secrets that a service has served with, kept beside the new ones until it answers with these."""

from __future__ import annotations

import contextlib
import os
from typing import Iterable

SUFFIX = ".former"


def keep(path: str) -> None:
    """Before ``path`` is replaced. One that is kept already stays: what came between has not served."""
    with contextlib.suppress(FileNotFoundError, FileExistsError):
        os.link(path, path + SUFFIX)


def kept(paths: Iterable[str]) -> bool:
    """Whether any of ``paths`` has a former one."""
    return any(os.path.exists(path + SUFFIX) for path in paths)


def take_back(paths: Iterable[str]) -> None:
    """Have the former ones again, with their times: to whom reads them they were never gone."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.replace(path + SUFFIX, path)


def forget(paths: Iterable[str]) -> None:
    """The services answer with the new ones."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + SUFFIX)
