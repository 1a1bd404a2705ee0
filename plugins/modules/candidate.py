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
  - Requests still go to what serves. A candidate that does not become healthy is removed, and its last words are in the error.
extends_documentation_fragment:
  - gantry.webstack._attributes
  - gantry.webstack._attributes.action
attributes:
  action:
    support: full
    details: Shows copies of state while they go on.
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
    default: []
  image:
    description:
      - An image that is kept on the host, instead of O(images), with O(beside=container). C(previous) is the one before the one that runs, and each
        run goes one back; its id, the beginning of it, or its tag names one.
      - The service runs by the definition it had with this image. Since it has served before, the switch may follow without parity.
    type: str
  beside:
    description:
      - V(host) takes the services that the host serves. V(container) takes those that a container serves, and starts the next version beside it;
        it is left out where the newest version runs.
    type: str
    choices: [host, container]
    default: host
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

- name: Start the former version beside the one that runs
  gantry.webstack.candidate:
    services: "{{ plan.services }}"
    image: previous
    beside: container
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
copied:
  description: The services whose state has been copied to volumes while the host serves, and how many bytes. The switch copies what changes until then.
  returned: success
  type: list
  elements: dict
  sample: [{"service": "shop", "volumes": ["webstack-shop-media-1f0c9a"], "bytes": 1048576}]
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
            "images": {"type": "list", "elements": "dict", "default": []},
            "image": {"type": "str"},
            "beside": {"type": "str", "choices": ["host", "container"], "default": "host"},
            "edge": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    CandidateModule(module).execute()


if __name__ == "__main__":
    main()
