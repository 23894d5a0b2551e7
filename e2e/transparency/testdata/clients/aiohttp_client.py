"""The cases of Python's aiohttp, client and WebSocket server."""
import asyncio
import hashlib
import os
import ssl

import aiohttp
from aiohttp import web

ORIGIN, ORIGIN_TLS, DEAD, CA = (os.environ[k] for k in ("ORIGIN", "ORIGIN_TLS", "DEAD", "CA"))
BIG = bytes(range(256)) * 8192  # 2 MiB
WS_PORT = 8085


def digest(b):
    return f"{len(b)} {hashlib.sha256(b).hexdigest()[:16]}"


def pattern(n):
    return b"".join(b"%063d\n" % i for i in range(n // 64 + 1))[:n]


async def case(name, run, want=None):
    try:
        got = str(await run()).replace("\n", "\\n")
    except Exception as e:  # the kind of an error is what a program sees of it
        got = type(e).__name__
    ok = want is None or got == want
    print("ok" if ok else "not ok", name, got if ok else f"{got} (want {want})", sep="\t", flush=True)


async def read(s, method, path, origin=ORIGIN, **kw):
    async with s.request(method, origin + path, **kw) as r:
        return r.status, await r.read()


async def chunks(b, size):
    for i in range(0, len(b), size):
        yield b[i:i + size]


async def echo_websocket(request):
    ws = web.WebSocketResponse(compress=True)
    await ws.prepare(request)
    async for m in ws:
        if m.type == aiohttp.WSMsgType.TEXT and m.data == "bye":
            await ws.close(code=4001, message=b"bye")
        elif m.type == aiohttp.WSMsgType.TEXT:
            await ws.send_str(m.data)
        elif m.type == aiohttp.WSMsgType.BINARY:
            await ws.send_bytes(m.data)
    return ws


async def websocket(s, compress):
    got = []
    async with s.ws_connect(f"http://127.0.0.1:{WS_PORT}/ws", compress=compress) as ws:
        for text in ("one", "GET / HTTP/1.1\r\n\r\n", "three" * 1000):
            await ws.send_str(text)
            got.append((await ws.receive_str()) == text)
        await ws.send_bytes(BIG)
        got.append((await ws.receive_bytes()) == BIG)
        await ws.ping(b"p")
        await ws.send_str("bye")
        m = await ws.receive()
        return got + [m.type.name, ws.close_code]


async def serve_websockets():
    app = web.Application(client_max_size=1 << 24)
    app.router.add_get("/ws", echo_websocket)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", WS_PORT, reuse_address=True).start()
    return runner


async def many(s, n):
    got = await asyncio.gather(*(read(s, "POST", "/echo", data=b"x" * i * 50) for i in range(n)))
    return sum(int(body.split()[2]) for _, body in got)


async def events(s):
    async with s.get(ORIGIN + "/slow/20") as r:
        return [line.decode().strip() async for line in r.content if line.strip()]


async def partial(s):
    async with s.get(ORIGIN + "/size/50000000") as r:
        return len(await r.content.readexactly(1000))


async def text(s, method, path, **kw):
    status, body = await read(s, method, path, **kw)
    return f"{status} {body.decode().strip()}"


async def body(s, path, **kw):
    return digest((await read(s, "GET", path, **kw))[1])


async def sequential(s):
    return {(await read(s, "GET", "/hello"))[1] for _ in range(20)}


async def refused(s):
    try:
        await read(s, "GET", "/hello", origin=DEAD)
    except aiohttp.ClientConnectionError:
        return "ClientConnectionError"  # its subclass says whether it was refused or reset


async def main():
    tls = ssl.create_default_context(cafile=CA)
    sha = f"POST %s {digest(BIG)}"
    async with aiohttp.ClientSession() as s:
        await case("get", lambda: text(s, "GET", "/hello"), "200 hello, world")
        await case("sequential", lambda: sequential(s), "{b'hello, world\\n'}")
        await case("head", lambda: read(s, "HEAD", "/size/100000"), "(200, b'')")
        await case("download", lambda: body(s, "/size/4194304"), digest(pattern(4194304)))
        await case("download chunked", lambda: body(s, "/chunked/2000000"), digest(pattern(2000000)))
        await case("upload", lambda: text(s, "POST", "/echo", data=BIG), "200 " + sha % "length")
        await case("upload chunked", lambda: text(s, "POST", "/echo", data=chunks(BIG, 7001)), "200 " + sha % "chunked")
        await case("100-continue", lambda: text(s, "POST", "/expect", data=BIG, expect100=True), "200 " + sha % "length" + " expect=100-continue")
        await case("100-continue refused", lambda: text(s, "POST", "/expect", data=b"hello", expect100=True, headers={"X-Refuse": "1"}), "417 no")
        await case("gzip", lambda: body(s, "/gzip/1000000"), digest(pattern(1000000)))
        await case("redirects", lambda: text(s, "GET", "/redirect/5"), "200 hello, world")
        await case("redirect with body", lambda: text(s, "POST", "/again/308", data=b"hello"), f"200 POST length {digest(b'hello')}")
        await case("redirect loop", lambda: text(s, "GET", "/redirect/40"), "TooManyRedirects")
        for code in (204, 304, 404, 500, 503):
            await case(f"status {code}", lambda: text(s, "GET", f"/status/{code}"))
        await case("close-delimited", lambda: body(s, "/close/300000"), digest(pattern(300000)))
        await case("stream", lambda: events(s), str([f"data: {i}" for i in range(5)]))
        await case("trailers", lambda: body(s, "/trailers/5000"), digest(pattern(5000)))
        await case("client gone", lambda: partial(s), "1000")
        await case("timeout", lambda: read(s, "GET", "/hang", timeout=aiohttp.ClientTimeout(total=1)), "TimeoutError")
        await case("aborted", lambda: read(s, "POST", "/abort", data=b"x"), "ServerDisconnectedError")
        await case("truncated", lambda: read(s, "GET", "/truncated/100000"), "ClientPayloadError")
        await case("parallel", lambda: many(s, 100), str(sum(range(100)) * 50))
        await case("TLS", lambda: text(s, "GET", "/hello", origin=ORIGIN_TLS, ssl=tls), "200 hello, world")
        await case("TLS upload", lambda: text(s, "POST", "/echo", origin=ORIGIN_TLS, ssl=tls, data=BIG), "200 " + sha % "length")
        await case("TLS not trusted", lambda: text(s, "GET", "/hello", origin=ORIGIN_TLS), "ClientConnectorCertificateError")
        runner = await serve_websockets()
        await case("websocket", lambda: websocket(s, 0), "[True, True, True, True, 'CLOSE', 4001]")
        await case("websocket compressed", lambda: websocket(s, 15), "[True, True, True, True, 'CLOSE', 4001]")
        await runner.cleanup()
        await case("refused", lambda: refused(s), "ClientConnectionError")


asyncio.run(main())
