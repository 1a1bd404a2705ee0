# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The control node's half of candidate: copies of state are shown while they go on."""

from __future__ import annotations

from ansible.plugins.action.normal import ActionModule as Normal

from ansible_collections.gantry.webstack.plugins.plugin_utils.progress_watch import Watched


class ActionModule(Watched, Normal):
    """One call of the module, as any module is called."""
