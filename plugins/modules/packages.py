#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Debian packages, their sources, versions and holds
version_added: 0.1.0
description:
  - Installs what is missing of a list of Debian packages in one call, and asks dpkg's database before anything else, which takes milliseconds.
  - Unlike M(ansible.builtin.apt) it needs no C(python3-apt) on the target, so that check mode tells the truth on a host that has nothing yet.
extends_documentation_fragment:
  - gantry.webstack._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: partial
    details: Shows the sources, the packages that were asked for with their versions, and what would be removed, but not what they depend on.
  idempotent:
    support: full
options:
  names:
    description: The packages. C(a | b) is satisfied by either, and installs the first that the package lists offer when neither is there; C(a ?) is left out
      when they do not offer it.
    type: list
    elements: str
    required: true
  repositories:
    description:
      - Repositories from which the packages come. Each becomes a deb822 source with a keyring of its own and a pin for the packages.
      - Those that an earlier call with the same O(purpose) made and that are not given any more go away, and the packages that came from them are brought to
        what the remaining sources offer.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: A name for its files.
        type: str
        required: true
      types:
        description: Kinds of archive.
        type: list
        elements: str
        default: [deb]
      uris:
        description: Base URIs.
        type: list
        elements: str
        required: true
      suites:
        description: Suites; one that ends with C(/) is the path of a flat repository.
        type: list
        elements: str
        required: true
      components:
        description: Components; left out for flat repositories.
        type: list
        elements: str
        default: [main]
      architectures:
        description: Architectures; the host's unless given.
        type: list
        elements: str
        default: []
      key:
        description: The key itself, as ASCII armor.
        type: str
      key_file:
        description: A file of the control node with the key, armored or not; a relative path counts from the playbook.
        type: path
      key_url:
        description: Where the target fetches the key; needs O(repositories[].key_sha256). It is not fetched again while the host has that key.
        type: str
      key_sha256:
        description: The SHA-256 digest that the key, as it was given, must have. Nothing is written otherwise.
        type: str
      signed_by:
        description: A keyring that is on the target already, instead of a key.
        type: path
      pin:
        description: How apt is to know what comes from there, as after C(Pin:) in apt_preferences(5); C(origin) with the hosts of the URIs unless given.
        type: str
  version:
    description: The version of the first package and of what is built from the same source; C(*) stands for anything. A host with a newer one goes back.
    type: str
  hold:
    description: Put the packages on hold, so that no other upgrade changes them. What this module has held is released with V(false).
    type: bool
    default: false
  state:
    description: Whether a package that is there in a fitting version may stay as it is, or is brought to the newest that fits.
    type: str
    choices: [present, latest]
    default: present
  service:
    description:
      - A service of these packages that must not be interrupted. The packages' scripts do not stop or restart it, and the running process hands its
        sockets over to the newly installed program, also when an earlier run ended before that.
    type: str
    choices: [nginx]
  purpose:
    description: What the packages are for, in words, for messages and for the names of its sources.
    type: str
    default: what gantry.webstack needs
  cache_valid_time:
    description: Seconds after which the package lists are fetched again before something is installed.
    type: int
    default: 86400
  lock_timeout:
    description: Seconds to wait for another apt or dpkg to end.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Have an engine, whichever it is
  gantry.webstack.packages:
    names:
      - docker.io | docker-ce
      - python3-docker

- name: Have nginx from nginx.org, in one series, with a key that is pinned
  gantry.webstack.packages:
    names: [nginx]
    purpose: nginx
    service: nginx
    version: 1.26.*
    repositories:
      - name: nginx.org
        uris: [https://nginx.org/packages/debian]
        suites: [bookworm]
        components: [nginx]
        key_file: keys/nginx_signing.key
        key_sha256: "{{ nginx_signing_key_sha256 }}"
"""

RETURN = r"""
changes:
  description: What was brought to which version, or would be, with C(kind) install, upgrade, downgrade or exchange. Empty for plain packages.
  returned: success
  type: list
  elements: dict
  sample: [{kind: upgrade, name: nginx, before: 1.26.2-1~bookworm, after: 1.26.3-1~bookworm, source: "https://nginx.org/packages/debian bookworm/nginx"}]
removed:
  description: Packages that had to go for that, or would have to.
  returned: when sources or versions are given
  type: list
  elements: str
  sample: [nginx-common]
handed_over:
  description: Whether the running nginx handed over to the installed one, or would.
  returned: when O(service) is V(nginx)
  type: bool
  sample: false
installed:
  description: The packages that were installed, or would be.
  returned: success
  type: list
  elements: str
  sample: [docker.io]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.install._packages import SPEC, Packages


def main() -> None:
    Packages(AnsibleModule(argument_spec=SPEC, supports_check_mode=True)).execute()


if __name__ == "__main__":
    main()
