# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The beginning of a deployment: what of the host has to be as the next image shall be."""

from __future__ import annotations

import contextlib

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackModule, host_lock
from ansible_collections.gantry.webstack.plugins.module_utils.install import _releases
from ansible_collections.gantry.webstack.plugins.module_utils.move import _set_aside
from ansible_collections.gantry.webstack.plugins.module_utils.move._candidate import on_host


class Deployment(WebstackModule):
    """The module's behaviour; see the documentation of deployment."""

    def run(self) -> None:
        with contextlib.nullcontext() if self.check_mode else host_lock():
            journals = [_journal.load(name) for name in self.params["services"]]
            contained = [journal for journal in journals if journal.runtime == _journal.CONTAINER]
            self.result.update(services=[journal.name for journal in contained],
                               unfinished=[journal.name for journal in contained if journal.phase != "switched" or not on_host(_journal.Successor(journal))])
            for step in _set_aside.undo(contained, self.check_mode):
                self.add_diff(step.what, step.before, step.after)
            for journal in contained:
                self._take_up(_releases.Releases(journal.name))

    def _take_up(self, releases: _releases.Releases) -> None:
        """The release that waits becomes the code on the host, of which the image is made; what runs has its own."""
        if self.check_mode and releases.name in self.params["changed"]:
            self.add_diff("container of " + releases.name, "release %s\n" % (releases.running() or "(none)"), "the release that install brings\n")
        elif releases.record.get("wanted") not in (None, releases.running()):
            self.add_diff("release of " + releases.name, releases.running() + "\n", releases.record["wanted"] + "\n")
            if not self.check_mode:
                releases.flip()
