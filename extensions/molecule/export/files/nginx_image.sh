#!/bin/sh
# The host's own nginx as an image by the name in $1, for hosts without a registry.
set -e
cd /
list=$(mktemp)
libraries=$(ldd /usr/sbin/nginx | grep -o '/[^ ]*')
for path in /usr/sbin/nginx /etc/nginx/mime.types /etc/nginx/uwsgi_params /etc/passwd /etc/group $libraries; do
    echo "${path#/}" >> "$list"
done
tar --create --dereference --files-from="$list" | docker import --change 'ENV PATH=/usr/sbin:/usr/bin' - "$1"
rm "$list"
