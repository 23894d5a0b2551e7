"""The cases of Python's requests."""
import concurrent.futures
import hashlib
import os
import socket

import requests

ORIGIN, ORIGIN_TLS, DEAD, CA = (os.environ[k] for k in ("ORIGIN", "ORIGIN_TLS", "DEAD", "CA"))
BIG = bytes(range(256)) * 8192  # 2 MiB
session = requests.Session()


def digest(b):
    return f"{len(b)} {hashlib.sha256(b).hexdigest()[:16]}"


def case(name, run, want=None):
    try:
        got = str(run()).replace("\n", "\\n")
    except Exception as e:  # the kind of an error is what a program sees of it
        got = type(e).__name__
    ok = want is None or got == want
    print("ok" if ok else "not ok", name, got if ok else f"{got} (want {want})", sep="\t", flush=True)


def status_and_text(r):
    return f"{r.status_code} {r.text.strip()}"


def pattern(n):
    return b"".join(b"%063d\n" % i for i in range(n // 64 + 1))[:n]


def chunks(b, size):
    for i in range(0, len(b), size):
        yield b[i:i + size]


def sequential():
    got = {session.get(f"{ORIGIN}/hello").text for _ in range(20)}
    return f"{got} over {len(session.adapters['http://'].poolmanager.pools)} pool"


def parallel():
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda i: requests.post(f"{ORIGIN}/echo", data=b"x" * i * 100).text.split()[2], range(64))
        return sum(int(a) for a in answers)


def stream():
    with session.get(f"{ORIGIN}/slow/20", stream=True) as r:
        return [line.decode() for line in r.iter_lines() if line]


def no_body(code):
    r = session.get(f"{ORIGIN}/status/{code}")
    return f"{r.status_code} {len(r.content)}"


def closed_early():
    with session.get(f"{ORIGIN}/size/50000000", stream=True) as r:
        return len(r.raw.read(1000))


def trickle():
    """A request whose bytes come in small pieces, the head too."""
    host, port = ORIGIN.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for c in b"POST /echo HTTP/1.1\r\nHost: trickle\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello":
            s.sendall(bytes([c]))
        return s.makefile("rb").read().split(b"\r\n\r\n")[1].decode().strip()


h = hashlib.sha256
case("get", lambda: status_and_text(session.get(f"{ORIGIN}/hello")), "200 hello, world")
case("sequential", sequential, "{'hello, world\\n'} over 1 pool")
case("head", lambda: f"{(r := session.head(f'{ORIGIN}/size/100000')).headers['Content-Length']} {len(r.content)}", "100000 0")
case("download", lambda: digest(session.get(f"{ORIGIN}/size/4194304").content), digest(pattern(4194304)))
case("download chunked", lambda: digest(session.get(f"{ORIGIN}/chunked/2000000").content), digest(pattern(2000000)))
case("upload", lambda: session.post(f"{ORIGIN}/echo", data=BIG).text.strip(), f"POST length {digest(BIG)}")
case("upload chunked", lambda: session.post(f"{ORIGIN}/echo", data=chunks(BIG, 7001)).text.strip(), f"POST chunked {digest(BIG)}")
case("upload file form", lambda: session.put(f"{ORIGIN}/echo", files={"f": ("name", b"")}).text.split()[:2], "['PUT', 'length']")
case("gzip", lambda: digest(session.get(f"{ORIGIN}/gzip/1000000").content), digest(pattern(1000000)))
case("identity", lambda: digest(session.get(f"{ORIGIN}/gzip/1000", headers={"Accept-Encoding": "identity"}).content), digest(pattern(1000)))
case("redirects", lambda: f"{len((r := session.get(f'{ORIGIN}/redirect/5')).history)} {r.text.strip()}", "5 hello, world")
case("redirect with body", lambda: session.post(f"{ORIGIN}/again/307", data=b"hello").text.split()[:3], "['POST', 'length', '5']")
case("redirect refused", lambda: session.get(f"{ORIGIN}/redirect/5", allow_redirects=False).status_code, "302")
case("redirect loop", lambda: session.get(f"{ORIGIN}/redirect/40"), "TooManyRedirects")
for code in (204, 304, 404, 500, 503):
    case(f"status {code}", lambda: no_body(code))
case("close-delimited", lambda: digest(session.get(f"{ORIGIN}/close/300000").content), digest(pattern(300000)))
case("stream", stream, str([f"data: {i}" for i in range(5)]))
case("trailers", lambda: digest(session.get(f"{ORIGIN}/trailers/5000").content), digest(pattern(5000)))
case("range", lambda: status_and_text(session.get(f"{ORIGIN}/range/100000", headers={"Range": "bytes=64-127"})), "206 " + "0" * 62 + "1")
case("basic auth", lambda: [session.get(f"{ORIGIN}/auth", auth=a).status_code for a in (None, ("user", "wrong"), ("user", "secret"))], "[401, 401, 200]")
case("cookies", lambda: [session.get(f"{ORIGIN}/cookie").text.strip() for _ in range(2)], "['no cookie', 'taste is sweet']")
case("delete", lambda: session.delete(f"{ORIGIN}/echo").text.split()[:3], "['DELETE', 'length', '0']")
case("options", lambda: session.options(f"{ORIGIN}/echo").text.split()[0], "OPTIONS")
case("long head", lambda: session.get(f"{ORIGIN}/hello", headers={f"X-Long-{i}": "v" * 1000 for i in range(40)}).status_code, "200")
case("odd bytes in a head", lambda: session.get(f"{ORIGIN}/hello?q=%00%ff", headers={"X-Odd": b"caf\xc3\xa9 \xff"}).status_code, "200")
case("many headers of one name", lambda: session.get(f"{ORIGIN}/hello", headers={"Accept": "a, b", "X-Empty": ""}).status_code, "200")
case("trickle", trickle, f"POST length 5 {h(b'hello').hexdigest()[:16]}")
case("client gone", closed_early, "1000")
case("timeout", lambda: session.get(f"{ORIGIN}/hang", timeout=1), "ReadTimeout")
case("aborted", lambda: requests.get(f"{ORIGIN}/abort"), "ConnectionError")
case("truncated", lambda: len(requests.get(f"{ORIGIN}/truncated/100000").content), "50000")  # this version does not mind
case("parallel", parallel, str(sum(range(64)) * 100))
case("TLS", lambda: status_and_text(session.get(f"{ORIGIN_TLS}/hello", verify=CA)), "200 hello, world")
case("TLS download", lambda: digest(session.get(f"{ORIGIN_TLS}/size/1500000", verify=CA).content), digest(pattern(1500000)))
case("TLS upload", lambda: session.post(f"{ORIGIN_TLS}/echo", data=BIG, verify=CA).text.strip(), f"POST length {digest(BIG)}")
case("TLS not trusted", lambda: requests.get(f"{ORIGIN_TLS}/hello"), "SSLError")
case("refused", lambda: requests.get(f"{DEAD}/hello"), "ConnectionError")
