"""moto, a server that speaks S3's protocol, for tests: python3 s3.py <bucket>

Serves on a free port of loopback, makes the bucket, prints the port, and ends when its standard input
does, so that it never outlives the test that started it.
"""

import os
import sys
import threading
import urllib.request

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
url = f"http://127.0.0.1:{server.server_port}/{sys.argv[1]}"
opener.open(urllib.request.Request(url, method="PUT")).close()
print(server.server_port, flush=True)
sys.stdin.read()
os._exit(0)
