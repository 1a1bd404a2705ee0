#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: plan_files
short_description: Read or replace the plan that is kept on its own host
version_added: 0.2.0
description:
  - What a plan store on the managed host is made of. The files are below C(/var/lib/webstack/.plans), which only root can enter, with mode 0600.
  - M(gantry.webstack.discover) and M(gantry.webstack.plan_store) call it.
extends_documentation_fragment:
  - gantry.webstack._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: partial
    details: Names the files that change. How a plan changes is shown by M(gantry.webstack.discover).
  idempotent:
    support: full
options:
  host:
    description: The name that the host's files have.
    type: str
    required: true
  files:
    description: Texts by name, such as C(web1.yml). Without it the files are read.
    type: dict
  before:
    description: SHA-256 of the plan that was read; empty when there was none. Another plan is not replaced.
    type: str
    default: ""
seealso:
  - module: gantry.webstack.plan_store
"""

EXAMPLES = r"""
- name: Read what is kept on the host
  become: true
  gantry.webstack.plan_files:
    host: web1
  register: kept
"""

RETURN = r"""
files:
  description: Texts by name.
  returned: when no O(files) are given
  type: dict
  sample: {"web1.yml": "version: 1\nhost: web1\nservices: []\n"}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.discover._plan_files import PlanFiles


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={"host": {"type": "str", "required": True}, "files": {"type": "dict"}, "before": {"type": "str", "default": ""}},
        supports_check_mode=True,
    )
    PlanFiles(module).execute()


if __name__ == "__main__":
    main()
