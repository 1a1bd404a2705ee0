"""A shop that grew: everything that it needs is written down in another way."""

import ctypes
import json
import os
import subprocess

import editlib
import flask
import gitlib
import redis
import stray

HERE = os.path.dirname(os.path.abspath(__file__))
SECRET_KEY = "CANARY-constant-1"
PAYMENTS = {"user": "shop", "password": "CANARY-mapping-2"}
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
with open(os.path.join(HERE, "conf/shop.json"), encoding="utf-8") as handle:
    CONF = json.load(handle)

app = flask.Flask(__name__)
app.secret_key = "CANARY-attribute-3"
cache = redis.Redis(host="127.0.0.1", port=6379, password=os.environ["REDIS_PASSWORD"])
magic = ctypes.CDLL("libmagic.so.1")


def database():
    """Nobody calls it on this host while it is looked at."""
    import pymysql
    return pymysql.connect(unix_socket="/run/mysqld/mysqld.sock", user="shop", password=os.environ["SHOP_DB_PASSWORD"])


@app.route("/")
def index():
    with open(os.path.join(HERE, CONF["folder"], "last"), "w", encoding="utf-8") as last:
        last.write("x")
    return "%d %s %s %s\n" % (cache.incr("shop"), editlib.NAME, gitlib.NAME, stray.NAME)


@app.route("/kind")
def kind():
    return subprocess.check_output(["file", "--brief", __file__])
