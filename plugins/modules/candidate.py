#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: candidate
short_description: Start a service's container beside its host process
version_added: 0.1.0
description:
  - Starts a container for each service from its harvested image, on a UNIX socket of its own beside the host's, and waits until it is healthy.
  - The container runs as the service's own user, with a read-only root, no capabilities, C(no-new-privileges) and only the network it needs.
  - Requests still go to the host. A candidate that does not become healthy is removed, and its last words are in the error.
extends_documentation_fragment:
  - gantry.webstack._attributes
attributes:
  check_mode:
    support: full
    details: Says which services would get a candidate.
  diff_mode:
    support: full
    details: Shows the container and its uWSGI configuration; never a secret value.
  idempotent:
    support: full
    details: A container that runs as it shall is left alone.
requirements:
  - docker (the SDK for Python) on the target
options:
  services:
    description: Service definitions of a plan.
    type: list
    elements: dict
    required: true
  images:
    description: What M(gantry.webstack.image_harvest) returned; C(service) and C(id) are used.
    type: list
    elements: dict
    required: true
  edge:
    description: The plan's C(edge); nginx's group must reach the container's socket.
    type: dict
    default: {}
  timeout:
    description: Seconds a candidate may take to become healthy.
    type: int
    default: 60
seealso:
  - module: gantry.webstack.parity
  - module: gantry.webstack.switch
"""

EXAMPLES = r"""
- name: Start candidates
  gantry.webstack.candidate:
    services: "{{ plan.services }}"
    images: "{{ harvested.images }}"
    edge: "{{ plan.edge }}"
"""

RETURN = r"""
candidates:
  description: The containers that were looked at, one for each service that is not in a container yet.
  returned: success
  type: list
  elements: dict
  sample:
    - service: shop
      container: webstack-shop-3f2a9c01b2d4
      image: sha256:4e5f...
      slot: 3f2a9c01b2d4
      socket: /run/webstack/shop/3f2a9c01b2d4.sock
log:
  description: The last lines of the container that did not become healthy.
  returned: failure
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.move._candidate import CandidateModule


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "dict", "required": True},
            "images": {"type": "list", "elements": "dict", "required": True},
            "edge": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    CandidateModule(module).execute()


if __name__ == "__main__":
    main()
