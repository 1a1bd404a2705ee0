#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: edge
short_description: Move nginx itself into a container, or back to the host
version_added: 0.1.0
description:
  - To a container, nginx's image is made of the host's own files, its configuration is tried there, and a container starts with the very listening sockets
    of the nginx that runs. Once its workers run, the other one takes no connection any more, answers what it has, and ends. No connection is reset.
  - Configuration, certificates, keys, static trees and the directories of UNIX sockets are mounted from the host, read-only, so that they are
    edited and renewed there; logs, caches and temporary files are mounted to be written. No configuration and no key is in the image.
  - nginx's systemd unit stands for the container meanwhile. Starting, reloading and stopping it does so to the container, and nginx's PID file leads to it.
  - Before that, a container with a network of its own, in which nginx has the very same configuration and addresses, is asked for the servers, locations
    and some of the files that the configuration names, and for what was asked last by its access logs.
    What differs from the answers of the host's nginx stops the move.
  - To the host, nginx's unit takes the sockets back the same way.
  - Every step looks first, so a run that was killed is finished, or undone, by the next.
extends_documentation_fragment:
  - gantry.webstack._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
    details: An nginx that is where it shall be is left alone; in a container, as long as that is made of what the host has now.
requirements:
  - docker (the SDK for Python) on the target
  - Linux 5.6 or newer on the target
options:
  to:
    description: Where nginx shall run.
    type: str
    choices: [container, host]
    required: true
  until:
    description: The last phase on the way to a container.
    type: str
    choices: [image, candidate, parity, switch]
    default: switch
  requests:
    description:
      - Further targets that both nginx are asked for at each server before the move, such as C(/about).
      - C(!/path/*) takes out what has a path of this pattern, such as a page that is never the same twice.
    type: list
    elements: str
    default: []
  drain_timeout:
    description: Seconds that requests in flight may take. After that the host's old workers go on by themselves, and those in a container are cut.
    type: int
    default: 60
seealso:
  - module: gantry.webstack.switch
"""

EXAMPLES = r"""
- name: Have nginx run in a container
  gantry.webstack.edge:
    to: container

- name: Have it run on the host again
  gantry.webstack.edge:
    to: host
"""

RETURN = r"""
runtime:
  description: Where nginx runs now.
  returned: success
  type: str
  sample: container
container:
  description: The container's name; empty on the host.
  returned: success
  type: str
  sample: webstack.edge-0a1b2c3d4e5f
image:
  description: The id of its image; empty on the host.
  returned: success
  type: str
  sample: "sha256:5d1f0e2d7c1b5a0c9e8d7f6a5b4c3d2e1f00112233445566778899aabbccddee"
remarks:
  description: What the container does not see as the host does, and what to do about it.
  returned: when it shall run in a container
  type: list
  elements: str
  sample: ["/etc/dhparam.pem is seen as it is now: when it is replaced, restart the container"]
compared:
  description: How many requests nginx in its container answered as the host's does.
  returned: when it was asked beside the host's
  type: int
  sample: 27
differences:
  description: What it answered otherwise, each with C(request), C(what) and C(shown), the lines of a diff. Nothing is moved then.
  returned: when it was asked beside the host's
  type: list
  elements: dict
  sample: []
packages:
  description: The packages that the image holds parts of.
  returned: when it shall run in a container
  type: list
  elements: dict
  sample:
    - {name: nginx, version: 1.22.1-9, architecture: amd64}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.edge._edge import EdgeModule


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "to": {"type": "str", "choices": ["container", "host"], "required": True},
            "until": {"type": "str", "choices": ["image", "candidate", "parity", "switch"], "default": "switch"},
            "requests": {"type": "list", "elements": "str", "default": []},
            "drain_timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    EdgeModule(module).execute()


if __name__ == "__main__":
    main()
