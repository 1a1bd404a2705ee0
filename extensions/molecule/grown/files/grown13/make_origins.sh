#!/bin/sh
# Interpreters from uv, pyenv, conda's client and an archive, each installed by its own program as its documentation says for hosts without a way
# out: uv from a list of downloads of one's own, pyenv by a custom definition, conda from a channel in a directory. What they unpack is the distribution's Python.
set -eu
here=$(dirname "$0")
version=$(python3 -c 'import platform; print(platform.python_version())')
rm -rf /var/tmp/origins /opt/uv /opt/conda /opt/python "/home/calc/.pyenv/versions/$version" /srv/uv/env /srv/calc/env /srv/conda/env /srv/tree/env
mkdir -p /var/tmp/origins/python /var/tmp/origins/definitions /opt/python
cd /var/tmp/origins
python3 "$here/make_tree.py" python
tar -czf cpython.tar.gz python
digest=$(sha256sum cpython.tar.gz | cut -d ' ' -f 1)
python3 -m venv tools
tools/bin/pip install -q uv==0.13.9 py-rattler==0.28.0

# uv, Settings, python-downloads-json-url
cat > downloads.json <<EOF
{"cpython-$version-linux-x86_64-gnu": {"name": "cpython", "arch": {"family": "x86_64", "variant": null}, "os": "linux", "libc": "gnu",
 "major": ${version%%.*}, "minor": $(echo "$version" | cut -d . -f 2), "patch": ${version##*.}, "prerelease": "", "variant": null, "build": "1",
 "url": "file:///var/tmp/origins/cpython.tar.gz", "sha256": "$digest"}}
EOF
export UV_PYTHON_INSTALL_DIR=/opt/uv/python UV_PYTHON_DOWNLOADS_JSON_URL=/var/tmp/origins/downloads.json
tools/bin/uv -q python install --no-bin "$version"
tools/bin/uv -q venv --managed-python --no-python-downloads --python "$version" /srv/uv/env

# python-build's README, Custom definitions
echo "install_package cpython file:///var/tmp/origins/cpython.tar.gz#$digest copy" > "definitions/$version"
PYENV_ROOT=/home/calc/.pyenv PYTHON_BUILD_DEFINITIONS=/var/tmp/origins/definitions pyenv install "$version" 2> pyenv.log || { cat pyenv.log; exit 1; }
"/home/calc/.pyenv/versions/$version/bin/python3" -m venv /srv/calc/env

tools/bin/python "$here/make_conda.py" python /var/tmp/origins/channel /opt/conda/envs/web
/opt/conda/envs/web/bin/python3 -m venv /srv/conda/env

tar -xzf cpython.tar.gz -C /opt/python --strip-components 1
/opt/python/bin/python3 -m venv /srv/tree/env
/srv/calc/env/bin/pip install -q pyuwsgi==2.0.30.post1 pika==1.4.4
for name in uv conda tree; do
    tools/bin/pip --python "/srv/$name/env/bin/python3" install -q pyuwsgi==2.0.30.post1
done
