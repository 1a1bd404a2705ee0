#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: evidence_info
short_description: Collect what a host tells about its web services
version_added: 0.1.0
description:
  - Reads nginx's configuration, C(/proc), the configuration of every running uWSGI instance, Python environments, code, crontabs,
    systemd units and dpkg's database, in one go. M(gantry.webstack.discover) makes a plan of it on the control node.
  - It changes nothing on the host. Each application is asked for one page with GET, over its uWSGI socket.
  - Values that look secret never leave the host; they are given by name and place.
extends_documentation_fragment:
  - gantry.webstack._attributes
attributes:
  check_mode:
    support: full
    details: Reads only.
  diff_mode:
    support: none
    details: Nothing is changed, so there is nothing to show.
  idempotent:
    support: full
    details: The same host gives the same evidence.
seealso:
  - module: gantry.webstack.discover
"""

EXAMPLES = r"""
- name: Look at the host
  become: true
  gantry.webstack.evidence_info:
  register: looked
"""

RETURN = r"""
evidence:
  description: What was found.
  returned: success
  type: dict
  contains:
    nginx:
      description: Version, binary, configuration file, user and group of the running nginx, and its whole configuration without secrets; null without nginx.
      type: dict
      returned: success
      sample: {version: 1.22.1, binary: /usr/sbin/nginx, config: /etc/nginx/nginx.conf, user: www-data, group: www-data, text: "..."}
    instances:
      description: One element for each running uWSGI instance that serves, with its options, environment, secrets by place, Python, state and so on.
      type: list
      elements: dict
      returned: success
      sample: [{name: shop}]
    converted:
      description: Definitions of services that run in a container already, from their journals.
      type: list
      elements: dict
      returned: success
      sample: []
    emperors:
      description: Directories that running emperors watch.
      type: list
      elements: str
      returned: success
      sample: [/etc/uwsgi/vassals]
    listeners:
      description: Every listening socket with its process.
      type: list
      elements: dict
      returned: success
      sample: [{address: "0.0.0.0:80", process: nginx, user: root, unit: nginx.service, command: "nginx: master process"}]
    cron:
      description: Lines of crontabs that belong to no service and no package.
      type: list
      elements: dict
      returned: success
      sample: []
    blind:
      description: What could not be read or understood.
      type: list
      elements: str
      returned: success
      sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.discover._evidence import EvidenceModule


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    EvidenceModule(module).execute()


if __name__ == "__main__":
    main()
