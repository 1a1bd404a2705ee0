"""On a host: search every layer of the harvested images for secret values and for package managers; prints JSON.

The argument is the secret values, one per line, base64-encoded. ``planted`` counts a value that is known to be there, so that a search
that finds nothing is known to search.
"""

import base64
import json
import subprocess
import sys
import tarfile

KNOWN = b"uWSGI"
MANAGERS = ("apt", "apt-get", "dpkg", "dpkg-query", "rpm", "apk", "yum", "dnf", "pip", "pip3")
secrets = [line for value in base64.b64decode(sys.argv[1]).splitlines() for line in [value.strip()] if len(line) > 5]
images = subprocess.run(["docker", "image", "ls", "--no-trunc", "--quiet", "--filter", "label=gantry.webstack.service"],
                        check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout.split()
result = {"images": 0, "files": 0, "planted": 0, "found": []}
for image in sorted(set(images)):
    result["images"] += 1
    saved = subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE)
    for outer in (archive := tarfile.open(fileobj=saved.stdout, mode="r|")):
        if outer.name.endswith(".json"):
            text = archive.extractfile(outer).read()
            result["found"] += ["%s: %s" % (image, outer.name) for secret in secrets if secret in text]
        elif outer.isfile() and outer.size:
            try:
                layer = tarfile.open(fileobj=archive.extractfile(outer), mode="r|")
            except tarfile.ReadError:
                continue
            for member in layer:
                result["files"] += 1
                folder, dummy, name = member.name.rpartition("/")
                if name in MANAGERS and folder.rpartition("/")[2] in ("bin", "sbin"):
                    result["found"].append("%s: package manager %s" % (image, member.name))
                if member.isfile():
                    data = layer.extractfile(member).read()
                    result["found"] += ["%s: a secret in %s" % (image, member.name) for secret in secrets if secret in data]
                    result["planted"] |= KNOWN in data
    if saved.wait() != 0:
        sys.exit("docker save %s failed" % image)
print(json.dumps(result))
