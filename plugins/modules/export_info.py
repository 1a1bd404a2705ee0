#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: export_info
short_description: Tell what an export needs of the host beside its plan
version_added: 0.2.0
description:
  - Looks up the groups of the services' users, their images, which of the paths that they mount are there, the time zone and the distribution.
  - Changes nothing on the host, and reads no secret.
extends_documentation_fragment:
  - gantry.webstack._attributes
attributes:
  check_mode:
    support: full
    details: Changes nothing in any mode.
  diff_mode:
    support: N/A
    details: Changes nothing.
  idempotent:
    support: N/A
    details: Changes nothing.
options:
  services:
    description: Service definitions of a plan.
    type: list
    elements: dict
    required: true
  registry:
    description: A registry that may have the images, C(HOST[:PORT][/PATH]). What it has is named by its digest there.
    type: str
  registry_auth:
    description: Who may read it.
    type: dict
    suboptions:
      username:
        description: Name.
        type: str
      password:
        description: Password or token.
        type: str
seealso:
  - module: gantry.webstack.export
"""

EXAMPLES = r"""
- name: Look at the host
  gantry.webstack.export_info:
    services: "{{ plan.services }}"
  register: facts

- name: Make a compose file of the plan
  ansible.builtin.copy:
    content: "{{ plan | gantry.webstack.compose(facts=facts) | to_nice_yaml }}"
    dest: ./compose.yaml
    mode: "0644"
  delegate_to: localhost
"""

RETURN = r"""
services:
  description: >-
    By service C(uid), C(gid) and C(groups) of its user on this host, C(image) (the one that serves, or the only one that is there, empty when neither
    tells), C(missing) (paths of its mounts that are not there), and C(open_files), soft and hard limit, of what serves.
  returned: success
  type: dict
  sample: {shop: {uid: 2001, gid: 2001, groups: [33], image: "webstack/shop:6f1d3c0f4b0e", missing: [], open_files: [1024, 524288]}}
zone:
  description: The host's time zone, empty when it is not known.
  returned: success
  type: str
  sample: Europe/Berlin
codename:
  description: The name of the distribution's version.
  returned: success
  type: str
  sample: bookworm
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.move._export_facts import ExportInfo


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "dict", "required": True},
            "registry": {"type": "str"},
            "registry_auth": {"type": "dict", "no_log": True, "options": {"username": {"type": "str"}, "password": {"type": "str", "no_log": True}}},
        },
        supports_check_mode=True,
    )
    ExportInfo(module).execute()


if __name__ == "__main__":
    main()
