#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: switch
short_description: Move services over their sockets, to containers or back to the host
version_added: 0.1.0
description:
  - To a container, the path that nginx connects to becomes a link to the container's socket, by one rename(2).
    Requests in flight are finished by the host's process, which is then set aside. nginx is neither edited nor reloaded.
  - To the host, the host's process is started on a socket beside the path, and once healthy that socket takes the path by rename(2).
    The container finishes what it has and is removed.
  - Of a service that runs in a container, the next container, which M(gantry.webstack.candidate) has started beside it, takes the path once it is proven.
    The former one finishes what it has and is removed. One that is not proven is given up.
  - A host stack that was decommissioned is brought back first; one that was purged has no way back.
  - Scheduled commands move with it; the host's cron and its timers stay their only clock.
  - Workers that systemd keeps are stopped, and started as a container of their own by a drop-in.
    What uWSGI runs beside web requests begins in the container when it has ended on the host, at a moment at which it has nothing in hand and no tick
    of uWSGI's cron is near; on the way back the host's instance may have to wait for the next full minute.
  - State that the definition puts into volumes is copied while the service goes on. Then requests wait for a short time, in which the one side ends,
    the rest is copied, and the other side starts; while volumes have the state they are mounted over the host's paths.
  - Every step looks first, so a run that was killed is finished, or undone, by the next.
extends_documentation_fragment:
  - gantry.webstack._attributes
  - gantry.webstack._attributes.action
attributes:
  action:
    support: full
    details: Shows copies of state while they go on.
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
    details: A service that is where it shall be is left alone.
requirements:
  - docker (the SDK for Python) on the target
options:
  services:
    description: Names of services; their journals on the host know the rest.
    type: list
    elements: str
    required: true
  to:
    description: Where requests shall go.
    type: str
    choices: [container, host]
    required: true
  edge:
    description: The plan's C(edge); nginx's group must reach the container's socket.
    type: dict
    default: {}
  drain_timeout:
    description: Seconds that requests in flight may take before their process is stopped all the same.
    type: int
    default: 60
  timeout:
    description: Seconds that the host's process may take to become healthy.
    type: int
    default: 60
  keep_images:
    description:
      - How many images of a service stay on the host beside the one that runs. The one before it stays always; the others that served are removed
        once a move to a container is complete.
    type: int
    default: 3
  canary:
    description:
      - Percent of the requests that go to the container first, for O(canary_seconds), while host and container are watched; with 0 all go at once.
      - The socket's path leads to the one or the other by chance, anew every 20 ms, so nginx is not edited. Not for services that nginx reaches over TCP.
      - From one container to the next, the former one is what the host is otherwise.
    type: float
    default: 0
  canary_seconds:
    description: How long the canary lasts, in seconds.
    type: float
    default: 60
  watch:
    description:
      - Seconds for which all requests go to the container while the host's process, or the former container, still runs and both are watched;
        with 0 it is set aside at once.
      - A service that gets worse by O(watch_errors) or O(watch_p99) goes back at once, and the module fails when the others are through.
    type: float
    default: 0
  watch_errors:
    description:
      - By how many percentage points errors may rise. An error is a status of 5xx, or no answer.
      - Counted among real requests (nginx's access log, against what it had before) and among test requests (against the host's process at the same time).
    type: float
    default: 1
  watch_p99:
    description:
      - Answers of the container that take this many times the 99th percentile of the host's process, asked in turn, are late.
        It is worse when more than two in a hundred are, and more than a few.
    type: float
    default: 2
  freeze:
    description:
      - Seconds for which requests may wait while the state of a service goes from the host to volumes, or back, until nobody writes any more and the rest is
        copied. What would take longer goes back, and the module says so when the others are through.
    type: float
    default: 10
seealso:
  - module: gantry.webstack.candidate
  - module: gantry.webstack.parity
"""

EXAMPLES = r"""
- name: Let the containers serve
  gantry.webstack.switch:
    services: [shop, blog]
    to: container

- name: Let the containers have a tenth of the requests for a minute, then all, and go back by itself when they get worse within five
  gantry.webstack.switch:
    services: [shop, blog]
    to: container
    canary: 10
    watch: 300

- name: Go back to the host
  gantry.webstack.switch:
    services: [shop]
    to: host
"""

RETURN = r"""
services:
  description: Where each service runs now and when it was switched, in seconds since the epoch.
  returned: success
  type: list
  elements: dict
  sample:
    - service: shop
      runtime: container
      switched_at: 1764000000.123
edge:
  description: Where nginx itself runs; V(container) also while a move of it is not complete.
  returned: success
  type: str
  sample: host
watched:
  description:
    - What was seen of each service while C(percent) of its requests went to the container. C(requests) and C(errors) are real ones;
      C(p99_host_ms) is the former container's where it goes from one to the next.
  returned: with O(canary) or O(watch)
  type: list
  elements: dict
  sample:
    - {service: shop, percent: 10, requests: 1200, errors: 0, probes: 600, p99_host_ms: 12.1, p99_container_ms: 12.4}
frozen:
  description: For how long the requests of a service waited while its state changed sides, in seconds, and what was copied before and then.
  returned: when state was moved
  type: list
  elements: dict
  sample:
    - {service: shop, to: container, seconds: 2.31, passes: 3, bytes: 1048576}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.move._switch import SwitchModule


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "str", "required": True},
            "to": {"type": "str", "choices": ["container", "host"], "required": True},
            "edge": {"type": "dict", "default": {}},
            "drain_timeout": {"type": "int", "default": 60},
            "timeout": {"type": "int", "default": 60},
            "keep_images": {"type": "int", "default": 3},
            "canary": {"type": "float", "default": 0},
            "canary_seconds": {"type": "float", "default": 60},
            "watch": {"type": "float", "default": 0},
            "watch_errors": {"type": "float", "default": 1},
            "watch_p99": {"type": "float", "default": 2},
            "freeze": {"type": "float", "default": 10},
        },
        supports_check_mode=True,
    )
    SwitchModule(module).execute()


if __name__ == "__main__":
    main()
