# What an environment is: the digest of its files; what of six or of the place where it was built is left in it; what is beside it.
cd "$1" || exit 1
find . ! -type d ! -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum 2>&1 | sha256sum
find lib/python3*/site-packages -maxdepth 1 -iname 'six*'
grep -rl 'ven~' .
ls -A ..
