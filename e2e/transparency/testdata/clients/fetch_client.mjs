// The cases of Node's fetch, and of its HTTP/1 and HTTP/2 clients.
import { createHash } from "node:crypto";
import http from "node:http";
import http2 from "node:http2";

const { ORIGIN, ORIGIN_TLS, ORIGIN_H2C, DEAD } = process.env;
const BIG = Buffer.alloc(2 << 20, (() => { const b = Buffer.alloc(256); for (let i = 0; i < 256; i++) b[i] = i; return b; })());

const digest = (b) => `${b.length} ${createHash("sha256").update(b).digest("hex").slice(0, 16)}`;
const pattern = (n) => Buffer.from(Array.from({ length: Math.ceil(n / 64) }, (_, i) => String(i).padStart(63, "0") + "\n").join("")).subarray(0, n);
const bytes = async (r) => Buffer.from(await r.arrayBuffer());
const get = (path, o) => fetch(ORIGIN + path, o);
const text = async (r) => `${r.status} ${(await r.text()).trim()}`;

// code is what a program sees of an error: the code of its cause where there is one, else its name.
const code = (e) => e.cause?.code ?? e.code ?? e.name;

async function test(name, run, want) {
	let got;
	try {
		got = String(await run());
	} catch (e) {
		got = code(e);
	}
	const ok = want === undefined || got === want;
	console.log([ok ? "ok" : "not ok", name, ok ? got : `${got} (want ${want})`].join("\t").replaceAll("\n", "\\n"));
}

function stream(b, size) {
	let at = 0;
	return new ReadableStream({
		pull(c) {
			if (at >= b.length) return c.close();
			c.enqueue(b.subarray(at, at + size));
			at += size;
		},
	});
}

// agent sends a request with node:http.
function agent(path, options, ...parts) {
	return new Promise((resolve, reject) => {
		const events = [];
		const req = http.request(ORIGIN + path, options, (res) => {
			const got = [];
			res.on("data", (b) => got.push(b));
			res.on("end", () => resolve({ status: res.statusCode, body: Buffer.concat(got), trailers: res.trailers, events }));
			res.on("error", reject);
		});
		req.on("continue", () => { events.push("continue"); parts.forEach((p) => req.write(p)); req.end(); });
		req.on("information", (i) => events.push(i.statusCode));
		req.on("error", reject);
		if (options.headers?.Expect) return req.flushHeaders();
		parts.forEach((p) => req.write(p));
		req.end();
	});
}

// h2 sends requests at once on one connection of node:http2.
async function h2(origin, paths, options) {
	const session = http2.connect(origin, options);
	try {
		return await Promise.all(paths.map((path) => new Promise((resolve, reject) => {
			session.on("error", reject);
			const body = path.startsWith("/echo") ? BIG : undefined;
			const req = session.request({ ":path": path, ":method": body ? "POST" : "GET" });
			const got = [];
			let status;
			req.on("response", (h) => { status = h[":status"]; });
			req.on("data", (b) => got.push(b));
			req.on("end", () => resolve(`${status} ${digest(Buffer.concat(got))}`));
			req.on("error", reject);
			req.end(body);
		})));
	} finally {
		session.close();
	}
}

async function events() {
	const got = [];
	for await (const b of (await get("/slow/20")).body) got.push(Buffer.from(b).toString());
	return got.join("").trim().split("\n\n");
}

async function gone() {
	const c = new AbortController();
	const r = await get("/size/50000000", { signal: c.signal });
	const { value } = await r.body.getReader().read();
	c.abort();
	return value.length > 0;
}

async function pipelined() {
	const net = await import("node:net");
	const [host, port] = ORIGIN.replace("http://", "").split(":");
	return new Promise((resolve, reject) => {
		const s = net.connect(Number(port), host);
		let got = "";
		s.on("data", (b) => { got += b; });
		s.on("end", () => resolve(got.split("hello, world").length - 1));
		s.on("error", reject);
		s.write("GET /hello HTTP/1.1\r\nHost: p\r\n\r\n".repeat(9) + "GET /hello HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n");
	});
}

await test("get", async () => text(await get("/hello")), "200 hello, world");
await test("sequential", async () => {
	const got = new Set();
	for (let i = 0; i < 20; i++) got.add(await text(await get("/hello")));
	return [...got];
}, "200 hello, world");
await test("head", async () => text(await get("/size/100000", { method: "HEAD" })), "200 ");
await test("download", async () => digest(await bytes(await get("/size/4194304"))), digest(pattern(4194304)));
await test("download chunked", async () => digest(await bytes(await get("/chunked/2000000"))), digest(pattern(2000000)));
await test("upload", async () => text(await get("/echo", { method: "POST", body: BIG })), `200 POST length ${digest(BIG)}`);
await test("upload chunked", async () => text(await get("/echo", { method: "POST", body: stream(BIG, 7001), duplex: "half" })), `200 POST chunked ${digest(BIG)}`);
await test("gzip", async () => digest(await bytes(await get("/gzip/1000000"))), digest(pattern(1000000)));
await test("redirects", async () => text(await get("/redirect/5")), "200 hello, world");
await test("redirect with body", async () => text(await get("/again/307", { method: "POST", body: "hello" })), `200 POST length ${digest(Buffer.from("hello"))}`);
await test("redirect by hand", async () => (await get("/redirect/5", { redirect: "manual" })).status, "302");
await test("redirect refused", async () => get("/redirect/5", { redirect: "error" }));
for (const status of [204, 304, 404, 500, 503]) await test(`status ${status}`, async () => text(await get(`/status/${status}`)));
await test("close-delimited", async () => digest(await bytes(await get("/close/300000"))), digest(pattern(300000)));
await test("stream", events, [0, 1, 2, 3, 4].map((i) => `data: ${i}`).join());
await test("trailers", async () => (await agent("/trailers/5000", {})).trailers["x-sum"], createHash("sha256").update(pattern(5000)).digest("hex"));
await test("100-continue", async () => {
	const r = await agent("/expect", { method: "POST", headers: { Expect: "100-continue", "Content-Length": BIG.length } }, BIG);
	return `${r.events} ${r.status} ${r.body.toString().trim()}`;
}, `continue,100 200 POST length ${digest(BIG)} expect=100-continue`);
await test("early hints", async () => {
	const r = await agent("/hints", {});
	return `${r.events} ${r.status} ${r.body.toString().trim()}`;
}, "103 200 after the hints");
await test("pipelined", pipelined, "10");
await test("client gone", gone, "true");
await test("timeout", () => get("/hang", { signal: AbortSignal.timeout(1000) }));
await test("aborted", () => get("/abort", { method: "POST", body: "x" }));
await test("truncated", async () => bytes(await get("/truncated/100000")));
await test("parallel", async () => {
	const got = await Promise.all(Array.from({ length: 100 }, (_, i) => get("/echo", { method: "POST", body: "x".repeat(i * 50) }).then((r) => r.text())));
	return got.reduce((sum, t) => sum + Number(t.split(" ")[2]), 0);
}, String(4950 * 50));
await test("TLS", async () => text(await fetch(`${ORIGIN_TLS}/hello`)), "200 hello, world");
await test("TLS upload", async () => text(await fetch(`${ORIGIN_TLS}/echo`, { method: "POST", body: BIG })), `200 POST length ${digest(BIG)}`);
await test("HTTP/2", () => h2(ORIGIN, ["/hello", "/size/2000000", "/echo", "/gzip/100", "/status/404"]));
await test("HTTP/2 of another server", () => h2(ORIGIN_H2C, ["/a", "/b?size=2000000", "/echo"]));
await test("HTTP/2 over TLS", () => h2(ORIGIN_TLS, ["/hello", "/size/2000000", "/echo"]));
await test("refused", async () => {
	try {
		return text(await fetch(`${DEAD}/hello`));
	} catch (e) {
		return e.message;
	}
}, "fetch failed");
await test("refused kind", () => fetch(`${DEAD}/hello`), "ECONNREFUSED");
