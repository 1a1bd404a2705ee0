#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: image_harvest
short_description: Build container images of services from the host they run on
version_added: 0.1.0
description:
  - Builds one image per service out of the files that the service runs from on this host, and loads it into the host's Docker Engine.
  - An image holds the interpreter with its standard library, uWSGI with the plugins in use, every shared library and tool they need,
    time zones, CA certificates, the service's accounts, its virtual environment byte for byte, and its code.
  - Services with the same interpreter share their first layer, those with the same uWSGI on it their second.
  - Building takes no registry, no network, no package manager and no temporary file. The same files give the same image id.
  - A service that runs in a container and whose host stack was decommissioned is passed over.
  - State, secrets and files that are mounted are empty places in the image. A secret's value in any file of an image stops the module.
options:
  services:
    description:
      - Service definitions as they stand in a plan, all services of the host in one call.
    type: list
    elements: dict
    required: true
  base:
    description:
      - A base image, such as C(debian:bookworm-slim) or one of a registry of your own, on which the images are built by the engine and a Dockerfile
        instead; C(container.base) of a service says so for it alone. It is the same distribution's as the host's.
      - The Dockerfile pins the packages to the host's versions, makes the virtual environment from the lock that C(python.requirements) names
        (a file on the control node, with hashes), and takes the service's own files from the host. The result has its text.
      - An image that was built of the very same context is not built again; a base that moves under its name is not looked at, so name it by digest or release.
    type: str
  wheel_dir:
    description: A directory on the managed host with the lock's wheels, for builds on a base. pip asks no index then.
    type: path
  locks:
    description: The text of the lock of each service whose image is built on a base, by name. Read on the control node from C(python.requirements).
    type: dict
    default: {}
  sbom_dir:
    description:
      - A directory on the control node for the images' bills of materials (CycloneDX 1.5), C(SERVICE.cdx.json) each; none is written without it.
      - A bill lists the distribution's packages and the Python distributions, and is the same as long as the image is.
    type: path
  registry:
    description:
      - A registry that gets the images too, C(HOST[:PORT][/PATH]); none does without it. The service's container runs the image that is on the host.
      - Layers that the registry has are not sent again, and an image that it has is not sent at all.
    type: str
  registry_auth:
    description: Who may write to O(registry). The engine's own logins are not used.
    type: dict
    suboptions:
      username:
        description: The user's name.
        type: str
        required: true
      password:
        description: The password or token.
        type: str
        required: true
requirements:
  - docker (the docker SDK for Python on the managed host)
extends_documentation_fragment:
  - gantry.webstack._attributes
  - gantry.webstack._attributes.action
attributes:
  action:
    support: full
  check_mode:
    support: full
    details: Reads the host and computes the ids that a real run would give. Without an engine every image counts as missing.
  diff_mode:
    support: full
    details: Shows the tag and the layers of each image that is loaded.
  idempotent:
    support: full
    details: As long as the service's files on the host stay the same.
notes:
  - Byte code that a service writes beside its own code (C(__pycache__)), version control directories and shell histories are left out.
  - Of packages, documentation, message catalogs, Python's own tests and its C(nis) module are left out; of Python's modules for developers
    and for old protocols, only the byte code is.
  - Files of packages that manage packages (dpkg, apt, pip of the system) are never taken, even where a service's tools name them.
"""

EXAMPLES = r"""
- name: Build them on a base, with packages and distributions anew
  gantry.webstack.image_harvest:
    services: "{{ (lookup('ansible.builtin.file', 'webstack-plans/web1.yml') | from_yaml).services }}"
    base: registry.example.org/debian:bookworm-slim

- name: Build the images of every service in a plan
  gantry.webstack.image_harvest:
    services: "{{ (lookup('ansible.builtin.file', 'webstack-plans/web1.yml') | from_yaml).services }}"
"""

RETURN = r"""
images:
  description: One item per service, in the order of O(services); none for one that is decommissioned.
  returned: success
  type: list
  elements: dict
  contains:
    service:
      description: The service's name.
      type: str
      returned: always
      sample: shop
    id:
      description: The image's id.
      type: str
      returned: always
      sample: sha256:6f1d3c0f4b0e7c58a4b3d6f1d3c0f4b0e7c58a4b3d6f1d3c0f4b0e7c58a4b3d6
    tag:
      description: Repository and tag; the tag is the first 12 hexadecimal digits of the digest of the image's configuration.
      type: str
      returned: always
      sample: webstack/shop:6f1d3c0f4b0e
    size_bytes:
      description: Size of the files in all layers in bytes, as C(docker images) counts.
      type: int
      returned: always
      sample: 104857600
    layers:
      description: The layers from the bottom; C(size) is the length of the layer's tar archive in bytes.
      type: list
      elements: dict
      returned: always
      sample: [{"digest": "sha256:0a1b", "size": 83886080, "kind": "system", "title": "system with Python 3.11 and uWSGI"}]
    packages:
      description: Distribution packages with files in the image.
      type: list
      elements: dict
      returned: always
      sample: [{"name": "libssl3", "version": "3.0.17-1~deb12u2", "architecture": "amd64"}]
    dockerfile:
      description: What the image was built by.
      type: str
      returned: for an image on a base
      sample: "ARG BASE=debian:bookworm-slim"
    registry:
      description: The image's C(reference) by digest in O(registry), and whether it was C(pushed) by this run.
      type: dict
      returned: when O(registry) is given
      sample: {"reference": "registry.example.org/webstack/shop@sha256:6f1d", "pushed": true}
    sbom:
      description: The file on the control node with the image's bill of materials.
      type: str
      returned: when O(sbom_dir) is given
      sample: /home/me/webstack-plans/sbom/web1/shop.cdx.json
    remarks:
      description: Sentences about what was left out or not found.
      type: list
      elements: str
      returned: always
      sample: ["/srv/shop/code/.git is left out"]
    built:
      description: Whether the engine lacked the image.
      type: bool
      returned: always
      sample: true
system:
  description: The distribution, C(ID) and C(VERSION_ID) of os-release(5).
  returned: success
  type: dict
  sample: {"id": "debian", "version_id": "12"}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.image._built import SPEC, Images


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    Images(module).execute()


if __name__ == "__main__":
    main()
