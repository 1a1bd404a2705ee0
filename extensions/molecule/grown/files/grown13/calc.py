"""Calculates nothing, with another Python."""

import os
import sqlite3

import pika

DATABASE = sqlite3.connect(os.path.join(os.environ["CALC_DATA"], "calc.sqlite3"), check_same_thread=False)
DATABASE.execute("PRAGMA journal_mode=WAL")
DATABASE.execute("CREATE TABLE IF NOT EXISTS seen (at)")
QUEUE = pika.BlockingConnection(pika.URLParameters(os.environ["QUEUE"] + "?heartbeat=0"))


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"calc\n"]
