package admin

import (
	"bytes"
	"io"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// profilePath is where net/http/pprof has its profiles, so that `go tool pprof` finds them; that package itself would link all of
// net/http.
const profilePath = "/debug/pprof/"

const typeBinary = "application/octet-stream"

// Bounds of the profiles that take time, in seconds. They are held in memory until they are complete: a profile of the CPU grows with what
// differs, a trace with all that happens.
const (
	defaultProfileSeconds = 30
	maxProfileSeconds     = 300
	defaultTraceSeconds   = 1
	maxTraceSeconds       = 30
)

// profile writes the profile that the path names. The command line is left out: it may hold secrets.
func (s *Server) profile(ctx *fasthttp.RequestCtx) {
	name := strings.TrimPrefix(string(ctx.Path()), profilePath)
	switch name {
	case "", "/debug/pprof":
		profileIndex(ctx)
	case "profile":
		s.timed(ctx, profileSeconds(ctx.QueryArgs(), defaultProfileSeconds, maxProfileSeconds), pprof.StartCPUProfile, pprof.StopCPUProfile)
	case "trace":
		s.timed(ctx, profileSeconds(ctx.QueryArgs(), defaultTraceSeconds, maxTraceSeconds), trace.Start, trace.Stop)
	default:
		lookup(ctx, name)
	}
}

// profileIndex lists the profiles.
func profileIndex(ctx *fasthttp.RequestCtx) {
	var b strings.Builder
	for _, p := range pprof.Profiles() {
		b.WriteString(p.Name() + "\n")
	}
	b.WriteString("profile?seconds=30\ntrace?seconds=1\n")
	respond(ctx, fasthttp.StatusOK, typeText, b.String())
}

// lookup writes a profile that the runtime keeps; debug=1 as text.
func lookup(ctx *fasthttp.RequestCtx, name string) {
	p := pprof.Lookup(name)
	if p == nil {
		respond(ctx, fasthttp.StatusNotFound, typeText, "no such profile\n")
		return
	}
	debug := ctx.QueryArgs().GetUintOrZero("debug")
	if name == "heap" && ctx.QueryArgs().GetUintOrZero("gc") > 0 {
		runtime.GC()
	}
	ctx.SetStatusCode(fasthttp.StatusOK)
	if ctx.SetContentType(typeText); debug == 0 {
		ctx.SetContentType(typeBinary)
	}
	_ = p.WriteTo(ctx, debug) // into the response's body: cannot fail
}

// profileSeconds returns what the parameter seconds says, at most limit; def when it says nothing that can be used.
func profileSeconds(args *fasthttp.Args, def, limit int) int {
	if n, err := args.GetUint("seconds"); err == nil && n > 0 {
		return min(n, limit)
	}
	return def
}

// timed runs a profile for that many seconds, then answers with it: what is sent while it runs would be under the timeout of sending. Only
// one of a kind can run.
func (s *Server) timed(ctx *fasthttp.RequestCtx, seconds int, start func(io.Writer) error, stop func()) {
	var profile bytes.Buffer
	if err := start(&profile); err != nil {
		respond(ctx, fasthttp.StatusConflict, typeText, err.Error()+"\n") // another one is running
		return
	}
	timer := time.NewTimer(time.Duration(seconds) * time.Second)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.quit:
	}
	stop()
	ctx.SetStatusCode(fasthttp.StatusOK)
	ctx.SetContentType(typeBinary)
	ctx.Response.SetBodyRaw(profile.Bytes())
}
