#!/bin/sh
# Whether the certificate that is served is the one that lies on the disk.
set -e
served=$(openssl s_client -connect 127.0.0.1:8443 -servername pay.test </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256)
test "$served" = "$(openssl x509 -in /etc/letsencrypt/live/pay.test/fullchain.pem -noout -fingerprint -sha256)"
