package admin

import (
	"net"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	typeText    = "text/plain; charset=utf-8"
	typeJSON    = "application/json"
	typeMetrics = "text/plain; version=0.0.4; charset=utf-8"
)

// probeTimeout bounds each of the two dials of a probe; a kubelet waits a second by default.
const probeTimeout = 450 * time.Millisecond

// handle answers one request. A fault in it is logged and answered with 500: what an operator asks must not end the traffic.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	defer func() {
		if fault := recover(); fault != nil {
			s.cfg.Log.Error("admin request failed", "path", string(ctx.Path()), "fault", fault)
			respond(ctx, fasthttp.StatusInternalServerError, typeText, "failed; the log says more\n")
		}
	}()
	c, _ := ctx.Conn().(*client)
	full := c != nil && c.full
	path := string(ctx.Path())
	method, action := s.read(path)
	if action == nil && full {
		method, action = s.control(path, ctx.IsPost())
	}
	if action == nil && !full && s.cfg.AnyPath {
		method, action = fasthttp.MethodGet, s.metrics
	}
	if action == nil {
		respond(ctx, fasthttp.StatusNotFound, typeText, "not found\n")
	} else if allow(ctx, method) {
		action(ctx)
	}
}

// read returns what both listeners answer; nil when path is none of it.
func (s *Server) read(path string) (method string, action func(*fasthttp.RequestCtx)) {
	switch path {
	case "/healthz":
		return fasthttp.MethodGet, healthz
	case "/readyz":
		return fasthttp.MethodGet, s.readyz
	case "/metrics":
		return fasthttp.MethodGet, s.metrics
	}
	// A kubelet reaches the metrics listener only. It learns nothing there that it could not learn by dialling a port itself, and
	// only of ports that were named at the start.
	if strings.HasPrefix(path, probePath) && len(s.cfg.Probes) > 0 {
		return fasthttp.MethodGet, s.probe
	}
	return "", nil
}

// control returns what the admin listener alone answers; nil when path is none of it.
func (s *Server) control(path string, post bool) (method string, action func(*fasthttp.RequestCtx)) {
	switch {
	case path == "/":
		return fasthttp.MethodGet, index
	case path == "/config":
		return fasthttp.MethodGet, s.config
	case path == "/loglevel" && post:
		return fasthttp.MethodPost, s.logLevel
	case path == "/loglevel":
		return fasthttp.MethodGet, s.logLevel
	case path == "/drain":
		return fasthttp.MethodPost, s.drain
	case path == "/quitquitquit":
		return fasthttp.MethodPost, s.quitNow
	case strings.HasPrefix(path, profilePath), path+"/" == profilePath:
		return fasthttp.MethodGet, s.profile
	}
	return "", nil
}

// allow reports whether the request has the method (HEAD goes as GET), and answers it when not. A page in a browser cannot
// POST: browsers send Origin with that (Fetch standard, "origin" header), nobody else does.
func allow(ctx *fasthttp.RequestCtx, method string) bool {
	got := string(ctx.Method())
	if got == method || method == fasthttp.MethodGet && got == fasthttp.MethodHead {
		if method == fasthttp.MethodPost && len(ctx.Request.Header.Peek(fasthttp.HeaderOrigin)) > 0 {
			respond(ctx, fasthttp.StatusForbidden, typeText, "not from a browser\n")
			return false
		}
		return true
	}
	ctx.Response.Header.Set(fasthttp.HeaderAllow, method)
	respond(ctx, fasthttp.StatusMethodNotAllowed, typeText, "want "+method+"\n")
	return false
}

func respond(ctx *fasthttp.RequestCtx, status int, contentType, body string) {
	ctx.SetStatusCode(status)
	ctx.SetContentType(contentType)
	ctx.SetBodyString(body)
}

// index lists what there is.
func index(ctx *fasthttp.RequestCtx) {
	respond(ctx, fasthttp.StatusOK, typeText,
		"GET /healthz /readyz /metrics /config /loglevel /probe/tcp/PORT /debug/pprof/\nPOST /loglevel /drain /quitquitquit\n")
}

// healthz says that the process is alive.
func healthz(ctx *fasthttp.RequestCtx) { respond(ctx, fasthttp.StatusOK, typeText, "ok\n") }

// readyz says whether traffic may come.
func (s *Server) readyz(ctx *fasthttp.RequestCtx) {
	if err := s.cfg.Ready(); err != nil {
		respond(ctx, fasthttp.StatusServiceUnavailable, typeText, err.Error()+"\n")
		return
	}
	respond(ctx, fasthttp.StatusOK, typeText, "ready\n")
}

// metrics writes the metrics in Prometheus' text format.
func (s *Server) metrics(ctx *fasthttp.RequestCtx) {
	ctx.SetStatusCode(fasthttp.StatusOK)
	ctx.SetContentType(typeMetrics)
	ctx.Response.SetBodyRaw(s.appendMetrics(nil))
}

// config shows the effective settings.
func (s *Server) config(ctx *fasthttp.RequestCtx) {
	ctx.SetStatusCode(fasthttp.StatusOK)
	ctx.SetContentType(typeJSON)
	ctx.Response.SetBodyRaw(s.cfg.Settings())
}

// logLevel shows the level of the log, or sets it to what the body, or the parameter level, says.
func (s *Server) logLevel(ctx *fasthttp.RequestCtx) {
	want := ""
	if ctx.IsPost() {
		if want = strings.TrimSpace(string(ctx.PostBody())); want == "" || ctx.QueryArgs().Has("level") {
			want = string(ctx.QueryArgs().Peek("level"))
		}
		if want == "" {
			respond(ctx, fasthttp.StatusBadRequest, typeText, "want a level as the body: debug, info, warn or error\n")
			return
		}
	}
	level, err := s.cfg.SetLevel(want)
	if err != nil {
		respond(ctx, fasthttp.StatusBadRequest, typeText, "want debug, info, warn or error\n")
		return
	}
	respond(ctx, fasthttp.StatusOK, typeText, level+"\n")
}

// drain makes the process not ready; it goes on relaying.
func (s *Server) drain(ctx *fasthttp.RequestCtx) {
	s.cfg.Drain()
	respond(ctx, fasthttp.StatusOK, typeText, "draining\n")
}

// quitNow makes the process drain and end.
func (s *Server) quitNow(ctx *fasthttp.RequestCtx) {
	ctx.SetConnectionClose()
	respond(ctx, fasthttp.StatusOK, typeText, "draining, then the end\n")
	s.cfg.Quit()
}

const probePath = "/probe/tcp/"

// probe dials a port of the application. With inbound redirection a kubelet's own TCP probe would reach the sidecar, which
// accepts even when the application is gone. An application need not listen on the loopback address: where nobody does, the address
// that the request came to is asked, which is the Pod's own when a kubelet asks.
func (s *Server) probe(ctx *fasthttp.RequestCtx) {
	port, ok := parsePort(string(ctx.Path()[len(probePath):]))
	addr, named := s.cfg.Probes[port]
	if !ok || !named {
		respond(ctx, fasthttp.StatusNotFound, typeText, "no such port was named at the start\n")
		return
	}
	err := dialable(addr)
	if local, ok := ctx.LocalAddr().(*net.TCPAddr); err != nil && ok && !local.IP.IsLoopback() {
		_, named, _ := net.SplitHostPort(addr)
		if dialable(net.JoinHostPort(local.IP.String(), named)) == nil {
			err = nil
		}
	}
	if err != nil {
		respond(ctx, fasthttp.StatusServiceUnavailable, typeText, err.Error()+"\n")
		return
	}
	respond(ctx, fasthttp.StatusOK, typeText, "ok\n")
}

// dialable returns nil when a connection to addr is accepted.
func dialable(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, probeTimeout)
	if err != nil {
		return err
	}
	return conn.Close()
}
