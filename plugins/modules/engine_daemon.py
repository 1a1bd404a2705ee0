#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: engine_daemon
short_description: The settings of Docker Engine's daemon
version_added: 0.2.0
description:
  - Merges settings into C(daemon.json). What others have written there stays; what this module has set and is not wanted any more goes.
  - The engine takes the settings up by a reload where that is enough, and otherwise by a restart that containers outlive when C(live-restore) is among them.
  - Settings that the engine refuses are put back, and the engine runs on as before.
extends_documentation_fragment:
  - gantry.webstack._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  settings:
    description: The settings, as C(daemon.json) has them.
    type: dict
    required: true
  defaults:
    description:
      - Settings that hold where neither O(settings) nor somebody else's keys in the file say anything.
      - C(log-opts) are left out with a logging driver that keeps no files, and C(live-restore) on a member of a swarm, which cannot have it.
    type: dict
    default: {}
  path:
    description: The file.
    type: path
    default: /etc/docker/daemon.json
  unit:
    description: The engine's systemd unit.
    type: str
    default: docker.service
  timeout:
    description: Seconds to wait until the engine answers again.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Containers outlive a restart of the engine, and their logs do not fill the disk
  gantry.webstack.engine_daemon:
    settings:
      live-restore: true
      log-driver: local
      log-opts: {max-size: 10m, max-file: "3"}
"""

RETURN = r"""
action:
  description: How the settings were taken up, or would be; empty when there was nothing to do.
  returned: success
  type: str
  sample: reload
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.install._engine_daemon import EngineDaemon


def main() -> None:
    spec = {
        "settings": {"type": "dict", "required": True},
        "defaults": {"type": "dict", "default": {}},
        "path": {"type": "path", "default": "/etc/docker/daemon.json"},
        "unit": {"type": "str", "default": "docker.service"},
        "timeout": {"type": "int", "default": 60},
    }
    EngineDaemon(AnsibleModule(argument_spec=spec, supports_check_mode=True)).execute()


if __name__ == "__main__":
    main()
