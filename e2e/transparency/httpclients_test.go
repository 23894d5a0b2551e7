//go:build e2e

package transparency

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/need"
)

// TestHTTPClients runs what people fetch with: directly and through the sidecar each prints the same, the server receives the same, and
// each request of HTTP/1 in the clear, and no other, has a span.
func TestHTTPClients(t *testing.T) {
	t.Parallel()
	tools := []string{"curl", "wget", "node", "java", "javac"}
	inLoopback(t, 15*time.Minute, tools, func(env *loopback) {
		o := startOrigin(t, env.dir)
		startH2C(env)
		startPROXY(t)
		for _, prepare := range []func(*loopback) client{curlClient, wgetClient, requestsClient, aiohttpClient, fetchClient, jdkClient} {
			c := prepare(env)
			c.server = o.taken
			env.compare(suiteOf(env, "HTTP clients", c))
		}
	})
}

// originVariables tell a client where its servers are.
func originVariables(env *loopback) []string {
	ca := filepath.Join(env.dir, "ca.pem")
	return []string{
		"ORIGIN=http://" + originPlain, "ORIGIN_TLS=https://" + originTLS, "ORIGIN_H2C=http://" + originH2C, "DEAD=http://" + originDead, "CA=" + ca,
		"NODE_EXTRA_CA_CERTS=" + ca,
	}
}

// publicFile copies a file of testdata/clients to where every user can read it.
func publicFile(env *loopback, name string) string {
	env.t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "clients", name))
	if err != nil {
		env.t.Fatal(err)
	}
	to := filepath.Join(env.dir, filepath.Base(name))
	if err := os.WriteFile(to, b, 0o644); err != nil { //nolint:gosec // every user is to read it
		env.t.Fatal(err)
	}
	return to
}

// startH2C starts h2cserver of tools/suites at originH2C.
func startH2C(env *loopback) {
	t := env.t
	t.Helper()
	bin := filepath.Join(env.dir, "h2cserver")
	build := exec.Command("go", "build", "-C", "../../tools/suites", "-trimpath", "-o", bin, "./h2cserver")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build h2cserver: %v\n%s", err, out)
	}
	serve(env, originH2C, bin, originH2C)
}

// pythonModule returns a module's version; without the module the test is skipped, or fails where nothing may be skipped.
func pythonModule(t *testing.T, module string) string {
	t.Helper()
	out, err := exec.Command(debianPython, "-c", "import "+module+"; print("+module+".__version__)").Output()
	if err != nil {
		need.Missing(t, "Python's "+module, "apt-get install python3-"+module)
	}
	return strings.TrimSpace(string(out))
}

func requestsClient(env *loopback) client {
	script := publicFile(env, "requests_client.py")
	return client{
		name: "Python requests", version: "requests " + pythonModule(env.t, "requests") + ", Python " + versionOf(env.t, debianPython, "--version"),
		how:      "a script of cases against an origin in Go",
		cases:    func() []observation { return program(env, originVariables(env), debianPython, script) },
		spans:    1, // refused
		unedited: 1, // the long head
	}
}

func aiohttpClient(env *loopback) client {
	script := publicFile(env, "aiohttp_client.py")
	return client{
		name: "Python aiohttp", version: "aiohttp " + pythonModule(env.t, "aiohttp") + ", Python " + versionOf(env.t, debianPython, "--version"),
		how:   "a script of cases against an origin in Go, and WebSockets against its own server",
		cases: func() []observation { return program(env, originVariables(env), debianPython, script) },
		spans: 3, // refused, and the requests of two WebSockets
	}
}

func fetchClient(env *loopback) client {
	node, script := need.Tool(env.t, "node"), publicFile(env, "fetch_client.mjs")
	return client{
		name: "Node fetch", version: "Node.js " + versionOf(env.t, node, "--version"),
		how:   "a script of cases with fetch, node:http and node:http2 against origins in Go",
		cases: func() []observation { return program(env, originVariables(env), node, script) },
		spans: 2, // refused, twice
	}
}

func jdkClient(env *loopback) client {
	java := need.Tool(env.t, "java")
	source := publicFile(env, "java/Client.java")
	classes := filepath.Join(env.dir, "classes")
	if out, err := exec.Command(need.Tool(env.t, "javac"), "-d", classes, source).CombinedOutput(); err != nil {
		env.t.Fatalf("javac: %v\n%s", err, out)
	}
	return client{
		name: "JDK HttpClient", version: "OpenJDK " + versionOf(env.t, java, "--version"),
		how: "a program of cases against origins in Go: HTTP/1.1, HTTP/2 over TLS, and HTTP/2 by upgrade",
		cases: func() []observation {
			return program(env, originVariables(env), java, "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", classes, "Client")
		},
		spans: 5, // refused, twice, and each tried again by the library when it is reset; and the request that asks for the upgrade and gets it
	}
}

// curlClient is curl, run once for each case.
func curlClient(env *loopback) client {
	t := env.t
	curl := need.Tool(t, "curl")
	const plain, six, secure, h2c = "http://" + originPlain, "http://" + originSix, "https://" + originTLS, "http://" + originH2C
	big := filepath.Join(env.dir, "big")
	if err := os.WriteFile(big, pattern(5_000_000), 0o644); err != nil { //nolint:gosec // every user is to read it
		t.Fatal(err)
	}
	ca := filepath.Join(env.dir, "ca.pem")
	jar := filepath.Join(env.dir, "tmp", "jar")
	connects := "%{http_code} %{http_version} %{num_connects} %{size_download} %{num_redirects}\n"
	var parallel []string
	for range 40 {
		parallel = append(parallel, "-o", "/dev/null", plain+"/size/10000")
	}
	list := []step{
		{name: "get", args: []string{"-i", plain + "/hello"}, want: "\r\n\r\nhello, world\n"},
		{name: "IPv6", args: []string{"-i", six + "/hello"}, want: "\r\n\r\nhello, world\n"},
		{name: "keep-alive", args: []string{"-w", connects, plain + "/hello", plain + "/hello", plain + "/status/404", plain + "/size/100", plain + "/chunked/99"}, want: "200 1.1 0 99 0"},
		{name: "HTTP/1.0", args: []string{"-0", "-i", plain + "/hello"}, want: "hello, world"},
		{name: "connection: close", args: []string{"-i", "-H", "Connection: close", plain + "/hello"}, want: "Connection: close"},
		{name: "head", args: []string{"-I", plain + "/size/100000"}, want: "Content-Length: 100000"},
		{name: "download", args: []string{plain + "/size/8388608"}},
		{name: "download chunked", args: []string{plain + "/chunked/3000000"}},
		{name: "chunks as they came", args: []string{"--raw", "-i", plain + "/chunked/30000"}, want: "2717\r\n"},
		{name: "trailers as they came", args: []string{"--raw", "-i", plain + "/trailers/5000"}, want: "\r\n0\r\nX-Sum: "},
		{name: "upload", args: []string{"--data-binary", "@" + big, plain + "/echo"}, want: "POST length 5000000"},
		{name: "upload chunked", args: []string{"-H", "Transfer-Encoding: chunked", "--data-binary", "@" + big, plain + "/echo"}, want: "POST chunked 5000000"},
		{name: "upload from a pipe", args: []string{"-T", "-", plain + "/echo"}, stdin: string(pattern(1_500_000)), want: "PUT chunked 1500000"},
		{name: "upload slowly", args: []string{"--limit-rate", "4M", "-T", big, plain + "/echo"}, want: "PUT length 5000000"},
		{name: "100-continue", args: []string{"-i", "-T", big, plain + "/expect"}, want: "expect=100-continue"},
		{name: "100-continue asked for", args: []string{"-i", "-H", "Expect: 100-continue", "-d", "hello", plain + "/expect"}, want: "HTTP/1.1 100 Continue\r\n"},
		{name: "100-continue refused", args: []string{"-i", "-H", "X-Refuse: 1", "-T", big, plain + "/expect"}, want: "417 Expectation Failed"},
		{name: "early hints", args: []string{"-i", plain + "/hints"}, want: "HTTP/1.1 103 Early Hints\r\n"},
		{name: "gzip", args: []string{"--compressed", plain + "/gzip/1000000"}},
		{name: "gzip as it came", args: []string{"-H", "Accept-Encoding: gzip", plain + "/gzip/1000000"}},
		{name: "redirects", args: []string{"-L", "-w", connects, plain + "/redirect/5"}, want: "200 1.1 1 13 5"},
		{name: "redirect with body", args: []string{"-L", "-d", "hello", plain + "/again/307"}, want: "POST length 5"},
		{name: "redirect to get", args: []string{"-L", "-d", "hello", plain + "/again/303"}, want: "GET length 0"},
		{name: "too many redirects", args: []string{"-L", "--max-redirs", "3", plain + "/redirect/9"}, exit: 47},
		{name: "status 204", args: []string{"-i", "-w", connects, plain + "/status/204", plain + "/hello"}, want: "200 1.1 0 13"},
		{name: "status 304", args: []string{"-i", "-w", connects, plain + "/status/304", plain + "/hello"}, want: "200 1.1 0 13"},
		{name: "status 404", args: []string{"-i", plain + "/status/404"}, want: "404 Not Found"},
		{name: "status 500", args: []string{"-f", plain + "/status/500"}, exit: 22},
		{name: "status 599", args: []string{"-i", plain + "/status/599"}, want: "599"},
		{name: "close-delimited", args: []string{"-i", plain + "/close/300000"}, want: "HTTP/1.0 200 OK"},
		{name: "server-sent events", args: []string{"-N", plain + "/slow/20"}, want: "data: 4"},
		{name: "range", args: []string{"-r", "64-127,0-9", plain + "/range/100000"}, mask: regexp.MustCompile(`[0-9a-f]{60}`)},
		{name: "one range", args: []string{"-i", "-r", "64-127", plain + "/range/100000"}, want: "206 Partial Content"},
		{name: "authentication", args: []string{"-u", "user:secret", "--anyauth", "-w", connects, plain + "/auth"}, want: "welcome"},
		{name: "wrong password", args: []string{"-i", "-u", "user:wrong", plain + "/auth"}, want: "401 Unauthorized"},
		{name: "cookies set", args: []string{"-c", jar, plain + "/cookie"}, want: "no cookie"},
		{name: "cookies sent", args: []string{"-b", jar, plain + "/cookie"}, want: "taste is sweet"},
		{name: "form with a file", args: []string{"-F", "f=@" + big, plain + "/echo"}, want: "POST length"},
		{name: "options of the server", args: []string{"-i", "-X", "OPTIONS", "--request-target", "*", plain}, want: "404"},
		{name: "an own method", args: []string{"-X", "PROPFIND", plain + "/echo"}, want: "PROPFIND"},
		{name: "absolute form", args: []string{"-x", plain, "http://elsewhere.test/hello"}, want: "hello, world"},
		{name: "connect refused by a proxy", args: []string{"-p", "-x", plain, "http://elsewhere.test/hello"}, exit: 56},
		{name: "large head", args: []string{"-H", "X-Large: " + strings.Repeat("v", 50_000), plain + "/hello"}, want: "hello, world"},
		{name: "odd bytes in a head", args: []string{"-H", "X-Odd: caf\xc3\xa9 \xff", "-H", "X-Empty;", plain + "/hello?q=%00%ff"}, want: "hello, world"},
		{name: "a trace context of its own", args: []string{"-H", "traceparent: " + ownContext, plain + "/hello"}, want: "hello, world"},
		{name: "timeout", args: []string{"-m", "1", plain + "/hang"}, exit: 28},
		{name: "aborted", args: []string{plain + "/abort"}, exit: 52},
		{name: "truncated", args: []string{plain + "/truncated/100000"}, exit: 18},
		{name: "parallel", args: append([]string{"-Z", "--parallel-max", "20", "-w", "%{http_code} %{size_download}\n"}, parallel...), want: strings.Repeat("200 10000\n", 40)},
		{name: "PROXY line first", args: []string{"--haproxy-protocol", "-i", "http://" + originPROXY + "/hello"}, want: "PROXY TCP4 127.0.0.1 127.0.0.1: GET /hello\n"},
		{name: "HTTP/2 by prior knowledge", args: []string{"--http2-prior-knowledge", "-w", connects, plain + "/size/2000000"}, want: "200 2 1 2000000 0"},
		{name: "HTTP/2 upload", args: []string{"--http2-prior-knowledge", "-T", big, plain + "/echo"}, want: "PUT length 5000000"},
		{name: "HTTP/2 of another server", args: []string{"--http2-prior-knowledge", "-w", connects, h2c + "/b?size=3000000"}, want: "HTTP/2.0 GET /b 0"},
		{name: "upgrade to HTTP/2 taken", args: []string{"--http2", "-w", connects, h2c + "/a", h2c + "/b?size=3000000"}, want: "HTTP/1.1 GET /a 0"},
		{name: "upgrade to HTTP/2 ignored", args: []string{"--http2", "-w", connects, plain + "/hello", plain + "/hello"}, want: "200 1.1 0 13 0"},
		{name: "TLS", args: []string{"--cacert", ca, "--http1.1", "-i", "-w", connects, secure + "/hello", secure + "/hello"}, want: "200 1.1 0 13 0"},
		{name: "TLS HTTP/2", args: []string{"--cacert", ca, "-w", connects, secure + "/hello", secure + "/size/3000000"}, want: "200 2 1 13 0"},
		{name: "TLS upload", args: []string{"--cacert", ca, "-T", big, secure + "/echo"}, want: "PUT length 5000000"},
		{name: "TLS not trusted", args: []string{secure + "/hello"}, exit: 60},
		{name: "TLS to a port without it", args: []string{"https://" + originPlain + "/hello"}, exit: 35},
		{name: "plain to a port with TLS", args: []string{"-i", "http://" + originTLS + "/hello"}, want: "400 Bad Request"},
		{name: "refused", args: []string{"http://" + originDead + "/hello"}, exit: 7},
	}
	return client{
		name: "curl", version: "curl " + versionOf(t, curl, "--version"), how: "a run for each case, against origins in Go",
		cases: func() []observation {
			_ = os.Remove(jar)
			return steps(env, nil, curl, []string{"-q", "-sS", "--max-time", "60"}, list)
		},
		// The upgrade that is taken, the request to the port with TLS, and the refused connection.
		spans:    3,
		unedited: 1, // the large head
	}
}

// wgetClient is wget, run once for each case.
func wgetClient(env *loopback) client {
	t := env.t
	wget := need.Tool(t, "wget")
	const plain, secure = "http://" + originPlain, "https://" + originTLS
	form := filepath.Join(env.dir, "form")
	if err := os.WriteFile(form, pattern(2_000_000), 0o644); err != nil { //nolint:gosec // every user is to read it
		t.Fatal(err)
	}
	part, tree := filepath.Join(env.dir, "tmp", "part"), filepath.Join(env.dir, "tmp", "tree")
	ca := "--ca-certificate=" + filepath.Join(env.dir, "ca.pem")
	list := []step{
		{name: "get", args: []string{"-O-", plain + "/hello"}, want: "hello, world\n"},
		{name: "heads", args: []string{"--save-headers", "-O-", plain + "/hello", plain + "/size/10"}, want: "HTTP/1.1 200 OK\r\n"},
		{name: "download", args: []string{"-O-", plain + "/size/8388608"}},
		{name: "download chunked", args: []string{"-O-", plain + "/chunked/3000000"}},
		{name: "resume", args: []string{"-c", "-O", part, plain + "/range/100000"}},
		{name: "head", args: []string{"--spider", plain + "/size/100000"}},
		{name: "upload", args: []string{"-O-", "--post-file=" + form, plain + "/echo"}, want: "POST length 2000000"},
		{name: "put", args: []string{"-O-", "--method=PUT", "--body-data=hello", plain + "/echo"}, want: "PUT length 5"},
		{name: "gzip", args: []string{"--compression=gzip", "-O-", plain + "/gzip/1000000"}},
		{name: "redirects", args: []string{"-O-", plain + "/redirect/5"}, want: "hello, world"},
		{name: "too many redirects", args: []string{"--max-redirect=3", "-O-", plain + "/redirect/9"}, exit: 8},
		{name: "recursion", args: []string{"-r", "-nH", "-P", tree, plain + "/tree/"}},
		{name: "status 204", args: []string{"-O-", plain + "/status/204"}},
		{name: "status 404", args: []string{"--content-on-error", "-O-", plain + "/status/404"}, exit: 8, want: "status 404"},
		{name: "status 503", args: []string{"-O-", plain + "/status/503"}, exit: 8},
		{name: "close-delimited", args: []string{"-O-", plain + "/close/300000"}},
		{name: "authentication", args: []string{"--user=user", "--password=secret", "-O-", plain + "/auth"}, want: "welcome"},
		{name: "wrong password", args: []string{"--user=user", "--password=wrong", "-O-", plain + "/auth"}, exit: 6},
		{name: "timeout", args: []string{"-T", "1", "-O-", plain + "/hang"}, exit: 4},
		{name: "aborted", args: []string{"-O-", plain + "/abort"}, exit: 4},
		{name: "truncated and tried again", args: []string{"-t", "2", "--waitretry=0", "-O-", plain + "/truncated/1000"}, exit: 4},
		{name: "TLS", args: []string{ca, "-O-", secure + "/hello"}, want: "hello, world"},
		{name: "TLS download", args: []string{ca, "-O-", secure + "/size/3000000"}},
		{name: "TLS not trusted", args: []string{"-O-", secure + "/hello"}, exit: 5},
		{name: "refused", args: []string{"-O-", "http://" + originDead + "/hello"}, exit: 4},
	}
	return client{
		name: "wget", version: "GNU Wget " + versionOf(t, wget, "--version"), how: "a run for each case, against origins in Go",
		cases: func() []observation {
			if err := os.RemoveAll(tree); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(part, pattern(100_000)[:40_000], 0o666); err != nil { //nolint:gosec // wget is to go on with it
				t.Fatal(err)
			}
			if err := os.Chmod(part, 0o666); err != nil { //nolint:gosec // the same
				t.Fatal(err)
			}
			all := steps(env, nil, wget, []string{"--no-config", "-q", "-t", "1"}, list)
			b, err := os.ReadFile(part)
			all = append(all, observation{"what was resumed", err == nil && string(b) == string(pattern(100_000)), digest(string(b))})
			pages, err := filepath.Glob(filepath.Join(tree, "tree", "page*.html"))
			return append(all, observation{"pages of the recursion", err == nil && len(pages) == 8, digest(strings.Join(pages, " "))})
		},
		spans: 1, // refused
	}
}
