#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment
short_description: Begin to deploy new versions of services that run in containers
version_added: 0.2.0
description:
  - Tells which of the services run in containers, has the release that install brought be the code on the host, of which the next image is made,
    and undoes a decommission, since the image is made of the host's files too.
  - What runs is not touched. M(gantry.webstack.image_harvest), M(gantry.webstack.candidate), M(gantry.webstack.parity) and M(gantry.webstack.switch)
    follow; a candidate that is given up puts the former release back.
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
  services:
    description: Names of services.
    type: list
    elements: str
    required: true
  changed:
    description: Services whose code or virtual environment install changes. In check mode nothing on the target tells.
    type: list
    elements: str
    default: []
seealso:
  - module: gantry.webstack.candidate
  - module: gantry.webstack.webapps
"""

EXAMPLES = r"""
- name: Begin
  gantry.webstack.deployment:
    services: [shop, blog]
  register: deployment
"""

RETURN = r"""
services:
  description: The services that run in containers.
  returned: success
  type: list
  elements: str
  sample: [shop]
unfinished:
  description: Those whose last move was not completed, so that M(gantry.webstack.switch) has to complete it first.
  returned: success
  type: list
  elements: str
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.move._deployment import Deployment


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "str", "required": True},
            "changed": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    Deployment(module).execute()


if __name__ == "__main__":
    main()
