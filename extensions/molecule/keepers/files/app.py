"""Says who serves it and where."""
import os


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["{} in {}\n".format(os.environ.get("NAME", "?"), os.getcwd()).encode()]
