# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sessions of nox, for those who know Ansible collections by it: antsibull-nox.toml has the usual ones, and here are the parts of ./scripts/test."""

from __future__ import annotations

import nox

try:
    import antsibull_nox
except ImportError as exc:
    raise SystemExit("nox needs antsibull-nox: pip install -r requirements-nox.txt") from exc

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["unit", "types", "style", "build-import-check"]

antsibull_nox.load_antsibull_nox_toml()


def part(session: nox.Session, *words: str) -> None:
    """A part of ./scripts/test, which has tools and environments of its own."""
    session.run("./scripts/test", *words, *session.posargs, external=True)


@nox.session(python=False)
def unit(session: nox.Session) -> None:
    """pytest over tests/unit"""
    part(session, "unit")


@nox.session(python=False)
def types(session: nox.Session) -> None:
    """mypy"""
    part(session, "types")


@nox.session(python=False)
def style(session: nox.Session) -> None:
    """ruff, ansible-lint, the roles' READMEs, changelog and documentation"""
    part(session, "lint")


@nox.session(python=False, default=False)
def sanity(session: nox.Session) -> None:
    """ansible-test sanity over all Pythons of this machine, without containers"""
    part(session, "sanity")


@nox.session(python=False, default=False)
def matrix(session: nox.Session) -> None:
    """Each supported ansible-core on each Python of this machine"""
    part(session, "matrix")


@nox.session(python=False, default=False)
def molecule(session: nox.Session) -> None:
    """Molecule's scenarios on real hosts: nox -e molecule -- nginx"""
    part(session, "molecule")
