#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: export
short_description: Write a plan's services as Dockerfiles, compose file, Swarm stack, Kubernetes manifests and Podman quadlets
version_added: 0.2.0
description:
  - Writes files on the control node that run the services of a plan with other tools, and a README beside them that says how, and what has to be provided.
  - A container has the user, the mounts, the network, the uWSGI options, the health check and the limits that convert gives it. An nginx with a configuration
    made from the plan's sites stands in front, or beside each service in Kubernetes.
  - Secrets are named by their place and never read. TLS ends before that nginx.
  - A service that convert refuses too, and that lacks what a container is made of, is left out with a warning unless O(select) names it.
  - Files of an export that are not made any more stay; remove the directory to begin anew.
extends_documentation_fragment:
  - gantry.webstack._attributes
attributes:
  check_mode:
    support: full
    details: Renders everything and tells what would change, but writes no file.
  diff_mode:
    support: full
    details: Shows how each file changes.
  idempotent:
    support: full
    details: The same plan on the same host gives the same files, byte for byte.
options:
  plan:
    description: A plan, as M(gantry.webstack.discover) returns it.
    type: dict
    required: true
  select:
    description: Names of services (a list, or with commas), or a JMESPath expression over the plan's services; all when empty.
    type: raw
  dir:
    description: The directory on the control node that the files are written to.
    type: str
    required: true
  formats:
    description: What to write. The Dockerfiles are always written.
    type: list
    elements: str
    choices: [dockerfile, compose, swarm, kubernetes, quadlet]
    default: [dockerfile, compose, swarm, kubernetes, quadlet]
  look:
    description: >-
      Ask the host for what its plan does not say with M(gantry.webstack.export_info). Without it the plan's own numbers and a tag of an image that
      is yet to be built are used.
    type: bool
    default: true
  images:
    description: References of images by service name, in place of those that are found.
    type: dict
    default: {}
  nginx_image:
    description: >-
      The image of the nginx in front. Docker Hub's C(nginx) in the version of the host unless given; it has to have C(mime.types) and C(uwsgi_params)
      in C(/etc/nginx).
    type: str
    default: ""
  base:
    description: >-
      The image that the Dockerfiles build on, unless C(container.base) in the plan says so. Debian of the host's version unless given, or Docker Hub's
      C(python) for a Python that is none of the distribution's packages.
    type: str
    default: ""
  state:
    description: Whether compose, Swarm and Podman find what the services write at the paths of the C(host), or in a named C(volume) each.
    type: str
    choices: [host, volume]
    default: host
  port:
    description: Where the nginx in front is published for what the host serves on ports 80 and 443.
    type: int
    default: 8080
  registry:
    description: A registry that may have the images, C(HOST[:PORT][/PATH]). What it has is named by its digest there.
    type: str
  registry_auth:
    description: Who may read it, C(username) and C(password).
    type: dict
requirements:
  - jsonschema, jmespath on the control node
seealso:
  - module: gantry.webstack.export_info
  - module: gantry.webstack.compare_answers
"""

EXAMPLES = r"""
- name: Take the plan
  gantry.webstack.discover:
    dir: ./webstack-plans
    reuse: true
  register: discovered

- name: Write a compose file and what belongs to it
  gantry.webstack.export:
    plan: "{{ discovered.plan }}"
    dir: ./webstack-plans/export/{{ inventory_hostname }}
    formats: [compose]
"""

RETURN = r"""
dir:
  description: The directory of the files.
  returned: success
  type: str
  sample: /home/ops/webstack-plans/export/web1
files:
  description: The files in it that belong to the export.
  returned: success
  type: list
  elements: str
  sample: [README.md, compose.yaml, nginx/compose.conf, shop/Dockerfile, shop/uwsgi.ini]
"""

# An action plugin does the work; this file is its documentation.
