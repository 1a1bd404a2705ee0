"""Settings of the guestbook; everything that differs between machines comes from the environment (see README.md)."""

import os
from pathlib import Path

DATA = Path(os.environ.get("GUESTBOOK_DATA", "/srv/guestbook/data"))
SECRET_KEY = Path(os.environ.get("GUESTBOOK_SECRET_KEY_FILE", "/etc/guestbook/secret_key")).read_text(encoding="utf-8").strip()
ALLOWED_HOSTS = os.environ.get("GUESTBOOK_HOSTS", "guestbook.test,localhost,127.0.0.1").split(",")
DEBUG = False

INSTALLED_APPS = [
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "entries",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "guestbook.urls"
WSGI_APPLICATION = "guestbook.wsgi.application"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

# Several processes write at once: a write-ahead log lets readers go on during a write, and taking the write lock when
# a transaction begins makes writers queue for it instead of failing half-way.
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA / "db.sqlite3",
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "/static/"
STATIC_ROOT = Path(os.environ.get("GUESTBOOK_STATIC", "/srv/guestbook/static"))
MEDIA_URL = "/media/"
MEDIA_ROOT = DATA / "media"
# nginx reads these as another user.
FILE_UPLOAD_PERMISSIONS = 0o644
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o755

USE_TZ = True
TIME_ZONE = "UTC"
