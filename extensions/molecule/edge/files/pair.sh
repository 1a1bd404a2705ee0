# $1: number. A new self-signed pair as certbot keeps it: files with a number, links to the newest.
set -e
cd /etc/edge
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=edge$1.test" -keyout "archive/privkey$1.pem" -out "archive/fullchain$1.pem" 2>/dev/null
chmod 600 "archive/privkey$1.pem"
for name in privkey fullchain; do
  ln -s "../archive/$name$1.pem" "live/$name.new"
  mv -T "live/$name.new" "live/$name.pem"
done
