#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: uwsgi_vassals
short_description: All vassals of a uWSGI emperor as one transaction
version_added: 0.1.0
description:
  - Takes the whole list of vassals in one call and makes one file of each in the emperor's directory.
  - The files carry a mark; marked files that are not in the list are removed, and their processes awaited. Files of others are never touched.
  - Before a vassal that serves is touched, its application is loaded once in a process beside it, so that what does not import never replaces what serves.
  - Each changed vassal is awaited until new workers answer a uwsgi request on its socket. If one does not, everything is put back as it was and
    awaited, and the message shows the Python traceback from its log.
  - A release that M(gantry.webstack.webapps) has put beside the running one is tried out in its place, becomes the service's code by one rename(2), and
    the former one comes back by itself, and is awaited, when the vassal does not answer as it should.
  - A vassal that does not run, or whose workers are older than its file or one of its O(vassals[].watch) files, is started or reloaded, also when
    an earlier run ended before it could.
  - When only watched files changed, the workers of a vassal with C(master), C(lazy-apps), C(touch-chain-reload), and with C(hook-post-fork) and
    C(pythonpath) for its C(chdir), are replaced one after the other (uWSGI's chain reload). It is reloaded as a whole when something stands in the
    way that a chain reload leaves as it was (a mule, a spooler, an attached daemon, a static map, a module that the new code lacks, a .pth file).
  - A service whose journal says that it runs in a container is left there; its vassal is kept right at the place where it is parked.
extends_documentation_fragment:
  - gantry.webstack._attributes
  - gantry.webstack._attributes.action
attributes:
  action:
    support: full
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  vassals:
    description: All vassals that shall be there. P(gantry.webstack.vassals#filter) makes the list from service definitions.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the service; its file is C(NAME.ini), its log C(/var/log/webstack/NAME.log) when it has a C(logto), else the emperor's journal.
        type: str
        required: true
      content:
        description: The configuration in uWSGI's INI dialect.
        type: str
        required: true
      code_path:
        description: The link to the release of M(gantry.webstack.webapps) that is its code.
        type: path
      venv:
        description: Its virtual environment, that of the release.
        type: path
      socket:
        description: The socket it listens on, a UNIX path or C(HOST:PORT).
        type: str
        required: true
      user:
        description: The user it runs as, who owns its log.
        type: str
        required: true
      group:
        description: The group it runs as, which may read its file.
        type: str
        required: true
      watch:
        description: Files whose change means that the vassal must be reloaded.
        type: list
        elements: path
        default: []
      health_path:
        description: The path it is asked for.
        type: str
        default: /
      health_status:
        description: The status it must answer with; any below 500 will do unless given.
        type: int
      health_timeout:
        description: Seconds after its first answer that it may answer with another status.
        type: float
        default: 10
      health_host:
        description: The Host header it is asked with.
        type: str
        default: localhost
  changed:
    description: Services whose code or virtual environment changes in this run. In check mode nothing on the target tells.
    type: list
    elements: str
    default: []
  directory:
    description: The emperor's directory.
    type: path
    default: /etc/webstack/vassals
  unit:
    description: The emperor's systemd unit.
    type: str
    default: webstack-emperor.service
  binary:
    description: "The uWSGI program of vassals that name none in a line C(; Program: PATH). Without it, the emperor's own."
    type: path
  timeout:
    description: Seconds that a vassal may take to load, to answer, or to finish its requests.
    type: float
    default: 60
"""

EXAMPLES = r"""
- name: Run the services
  gantry.webstack.uwsgi_vassals:
    vassals: "{{ webstack_services | gantry.webstack.complete | gantry.webstack.vassals }}"
"""

RETURN = r"""
changed_vassals:
  description: Names of the vassals that were added or changed.
  returned: success
  type: list
  elements: str
  sample: [shop]
removed:
  description: Names of the vassals that were removed.
  returned: success
  type: list
  elements: str
  sample: []
reloaded:
  description: Why vassals whose file was right were started or reloaded, by name.
  returned: success
  type: dict
  sample: {"shop": "runs what was there before /var/lib/webstack/shop/code.json"}
chained:
  description: The vassals among RV(reloaded) whose workers were replaced one after the other.
  returned: success
  type: list
  elements: str
  sample: [shop]
status:
  description: The HTTP status that each started or reloaded vassal answered with.
  returned: success
  type: dict
  sample: {"shop": 200}
service:
  description: The service that could not be brought to answer.
  returned: when a vassal fails
  type: str
  sample: shop
traceback:
  description: The Python traceback from its log.
  returned: when an application does not load
  type: str
  sample: |
    Traceback (most recent call last):
      File "/srv/shop/code/wsgi.py", line 1, in <module>
        import nothing
    ModuleNotFoundError: No module named 'nothing'
log:
  description: The last lines of its log, when there is no traceback in it.
  returned: when a vassal fails
  type: str
  sample: "bind(): Permission denied [core/socket.c line 230]"
former_releases:
  description: The releases that were taken back because the new ones did not serve, by service.
  returned: when a vassal fails after a release was taken up
  type: dict
  sample: {"shop": "09ab77de4f1c"}
put_back:
  description: Files that were put back as they were, or removed again.
  returned: when a vassal fails after files were written
  type: list
  elements: str
  sample: [/etc/webstack/vassals/shop.ini]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.install._uwsgi_vassals import UwsgiVassals
from ansible_collections.gantry.webstack.plugins.module_utils.install._vassals_look import SPEC


def main() -> None:
    UwsgiVassals(AnsibleModule(argument_spec=SPEC, supports_check_mode=True)).execute()


if __name__ == "__main__":
    main()
