# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""uwsgi_check, whose answer may be known from one look at the host."""

from __future__ import annotations

from ansible_collections.gantry.webstack.plugins.plugin_utils.phase import PhaseAction


class ActionModule(PhaseAction):
    """Nothing but the module."""

    MODULE = "uwsgi_check"
