#!/bin/sh
# What the playbook install does for the benchmark's services, as a careful administrator's script on the host itself: idempotent,
# everything compared before it is written, nginx tested before it is reloaded. install.sh N: services app01 to appN.
set -eu
services=$1
here=$(dirname "$0")
changed_units= changed_sites=

# put FILE MODE OWNER:GROUP: write standard input to FILE unless it holds that already; 0 when it was written.
put() {
  cat > /run/put.tmp
  if cmp -s /run/put.tmp "$1"; then return 1; fi
  install -m "$2" -o "${3%:*}" -g "${3#*:}" /run/put.tmp "$1.new"
  mv "$1.new" "$1"
}

missing=
for package in python3 python3-venv uwsgi-core uwsgi-plugin-python3 nginx logrotate; do
  case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true) in installed) ;; *) missing="$missing $package" ;; esac
done
# shellcheck disable=SC2086
[ -z "$missing" ] || DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing >/dev/null

mkdir -p /etc/webstack/vassals /var/log/webstack
if put /etc/systemd/system/webstack-emperor.service 644 root:root < "$here/emperor.service"; then changed_units=yes; fi
put /etc/logrotate.d/webstack 644 root:root <<LOGROTATE || :
/var/log/webstack/*.log {
    weekly
    rotate 4
    compress
    missingok
    notifempty
    copytruncate
    su root root
}
LOGROTATE

number=1
while [ "$number" -le "$services" ]; do
  name=$(printf 'app%02d' "$number")
  getent group "$name" >/dev/null || groupadd --system "$name"
  getent passwd "$name" >/dev/null || useradd --system --gid "$name" --home-dir "/srv/$name" --no-create-home --shell /usr/sbin/nologin "$name"
  mkdir -p "/srv/$name/code"
  cmp -s "$here/wsgi.py" "/srv/$name/code/wsgi.py" || install -m 644 "$here/wsgi.py" "/srv/$name/code/wsgi.py"
  if ! cmp -s "$here/requirements.txt" "/srv/$name/venv/.lock"; then
    [ -x "/srv/$name/venv/bin/python" ] || python3 -m venv "/srv/$name/venv"
    "/srv/$name/venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "/srv/$name/venv/.lock"
  fi
  install -d -m 2750 -o "$name" -g www-data "/run/uwsgi/$name"
  put "/etc/tmpfiles.d/webstack-host-$name.conf" 644 root:root <<TMPFILES || :
d /run/uwsgi/$name 2750 $name www-data -
TMPFILES
  [ -e "/var/log/webstack/$name.log" ] || install -m 640 -o "$name" -g "$name" /dev/null "/var/log/webstack/$name.log"
  put "/etc/webstack/vassals/$name.ini" 640 "root:$name" <<VASSAL || :
[uwsgi]
socket = /run/uwsgi/$name/uwsgi.sock
plugins = python3
uid = $name
gid = $name
chdir = /srv/$name/code
virtualenv = /srv/$name/venv
module = wsgi:application
master = true
need-app = true
vacuum = true
die-on-term = true
chmod-socket = 660
logto = /var/log/webstack/$name.log
processes = 1
env = GREETING=hello
VASSAL
  if put "/etc/nginx/conf.d/webstack-$name.conf" 644 root:root <<SITE; then changed_sites=yes; fi
server {
    listen 80;
    server_name $name.test;
    location / {
        include uwsgi_params;
        uwsgi_pass unix:/run/uwsgi/$name/uwsgi.sock;
    }
}
SITE
  number=$((number + 1))
done

if [ -n "$changed_units" ]; then systemctl daemon-reload; fi
systemctl is-active --quiet webstack-emperor || systemctl enable --quiet --now webstack-emperor
if [ -n "$changed_sites" ]; then nginx -t -q && systemctl reload nginx; fi
systemctl is-active --quiet nginx || systemctl enable --quiet --now nginx
exec python3 "$here/ask.py" all "$services"
