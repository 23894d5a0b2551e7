package core

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
	"github.com/spanwire/spanwire/internal/sidecar"
)

// maxSessionBytes bounds what one side says in an input: longer streams are the business of the property test.
const maxSessionBytes = 64 << 10

// The bits of an input's knobs.
const (
	knobOutbound = 1 << iota // the session is one of the application's own requests
	knobAnswers              // the engine writes the trace id into responses and reads both heads for tags
	knobRefused              // nobody listens at the upstream
	knobNarrow               // socket buffers of a few KiB everywhere
	knobShort                // a turn of the loop moves 64 bytes a direction
)

// FuzzSession plays a whole session: plan (see planOps) says which side says how much of what it has to say, who pauses, stops to listen,
// half-closes, closes or resets. The engine is real, and so are the sockets; but all is played by the engine's own loop, step by step, each
// step after the engine has done what the one before made it do. So an input does the same each time, and takes a fraction of a
// millisecond. Checked are, against a model that knows net/http and nothing of our parser: what arrives, byte for byte but for whole
// header lines that we may put in or take out, in heads only; how each side hears of the other's end; that there are as many spans as
// requests, with their ids, methods, statuses and sizes; and that nothing is left: no session, descriptor, byte, exchange or
// request in flight.
func FuzzSession(f *testing.F) {
	for _, s := range sessionSeeds() {
		f.Add(s.client, s.server, s.plan, s.knobs)
	}
	stages := map[byte]*stage{0: newStage(f, 0), knobAnswers: newStage(f, knobAnswers)}
	f.Fuzz(func(t *testing.T, client, server, plan []byte, knobs byte) {
		if len(client) > maxSessionBytes || len(server) > maxSessionBytes {
			return
		}
		if err := stages[knobs&knobAnswers].play(client, server, plan, knobs); err != nil {
			t.Fatal(err)
		}
	})
}

// TestFuzzedSessionsAreStrangers plays a request that is not to be sampled, and then a call with its id, which has nothing to do with it.
func TestFuzzedSessionsAreStrangers(t *testing.T) {
	st := newStage(t, 0)
	const answer = "HTTP/1.1 204 No\r\n\r\n"
	for _, s := range []struct {
		request string
		knobs   byte
	}{
		{"GET /a HTTP/1.1\r\nHost: a\r\nb3: 0\r\nX-Request-Id: 7\r\n\r\n", 0},
		{"GET /a HTTP/1.1\r\nHost: a\r\nX-Request-Id: 7\r\n\r\n", knobOutbound},
	} {
		if err := st.play([]byte(s.request), []byte(answer), []byte{say(client, 31), say(server, 31)}, s.knobs); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSessionsInSmallReads plays the seeds when a read takes a few bytes only, as a network may deliver them.
func TestSessionsInSmallReads(t *testing.T) {
	stages := map[byte]*stage{0: newStage(t, 0), knobAnswers: newStage(t, knobAnswers)}
	for _, most := range smallReads {
		for _, st := range stages {
			onLoop(t, st.e, func() { st.w.most = most })
		}
		for i, s := range sessionSeeds() {
			if err := stages[s.knobs&knobAnswers].play(s.client, s.server, s.plan, s.knobs); err != nil {
				t.Errorf("reads of %d bytes, seed %d: %v", most, i, err)
			}
		}
	}
}

// stage is an engine that sessions are played on, and what stands around it.
type stage struct {
	e        *Engine
	w        *worker
	shared   *trace.Shared
	listener int // where the server accepts
	entry    [2]string
	refused  [2]string
	exact    bool // responses are not edited
}

// newStage starts an engine with one loop, which lives until the target ends.
func newStage(t testing.TB, knobs byte) *stage {
	settings := trace.Config{}
	if knobs&knobAnswers != 0 {
		settings = trace.Config{TraceResponseHeader: "X-Trace-Id", TagHeaders: []string{"Host", "Content-Length"}, TagCookies: []string{"a"},
			Propagators: []string{"tracecontext", "b3", "b3multi", "jaeger"}}
	}
	settings.JoinSize = 256 // it is looked through after each session
	shared, err := trace.NewShared(settings)
	if err != nil {
		t.Fatal(err)
	}
	st := &stage{shared: shared, exact: knobs&knobAnswers == 0}
	fd, at, err := bind(loopback(1), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeFD(fd) })
	st.listener = fd
	dead := sidecar.Refusing(t)
	cfg := Config{Loops: 1, Trace: shared, Log: slog.New(slog.DiscardHandler)} // a fuzz target may not log
	for _, k := range []span.Kind{span.Server, span.Client} {
		for _, up := range []string{at.String(), dead} {
			cfg.Explicit = append(cfg.Explicit, Listen{Addr: "127.0.0.1:0", Upstream: up, Kind: k})
		}
	}
	st.e = startEngine(t, cfg)
	st.w = st.e.workers[0]
	l := st.e.Listeners()
	for i, k := range []span.Kind{span.Server, span.Client} {
		st.entry[k], st.refused[k] = l[2*i].Addr, l[2*i+1].Addr
	}
	return st
}

// sessionSeed is an input of FuzzSession.
type sessionSeed struct {
	client, server, plan []byte
	knobs                byte
}

// sessionSeeds are dialogues whose every kind of step is there.
func sessionSeeds() (seeds []sessionSeed) {
	add := func(client, server string, knobs byte, plan ...byte) {
		seeds = append(seeds, sessionSeed{[]byte(client), []byte(server), plan, knobs})
	}
	const get = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
	all, byOne := say(client, 31), say(client, 1)
	answer := say(server, 31)
	add(get, ok, 0)
	add(get+get+get, ok+ok+ok, knobOutbound, all, answer)
	add(get, ok, knobAnswers, byOne, byOne, act(opPause, 0), all, answer)
	add(get, ok, knobRefused, all)
	add("", "", knobRefused)
	add(get, ok, 0, say(client, 5), act(opReset, client))
	add(get, ok, 0, all, say(server, 5), act(opReset, server))
	add(get, ok, 0, all, act(opClose, client), answer)
	add(get, ok, 0, all, say(server, 3), act(opClose, server), all)
	add(get, ok, 0, all, act(opHalfClose, client), answer)
	add(get+get, ok+ok, 0, say(client, 8), answer, act(opHalfClose, server), all)
	add("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n"+get, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"+ok, 0, all, answer)
	add("POST /a?b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"+get,
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 C\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"+ok, 0, all, answer)
	add("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n"+
		strings.Repeat("traceparent: 1\r\n0123", 1000), "HTTP/1.1 200 OK\r\n\r\n"+strings.Repeat("x-request-id: 2\r\n.", 1000), knobNarrow,
		act(opListen, server), say(client, 20), say(server, 20), act(opListen, server), act(opListen, client), answer, act(opBurst, 4), all, all, answer, all)
	add("GET /a HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x05hello", "HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n\x81\x02hi", 0,
		say(client, 16), answer, all)
	add("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n\x16\x03", "HTTP/1.1 200 OK\r\n\r\n\x16\x03", 0, say(client, 15), answer, all)
	add("\x16\x03\x01\x00\x05hello", "hello", 0, all, answer)
	add("USER a\r\nPASS b\r\n", "220 hello\r\n331 yes\r\n", 0, answer, all)
	add("PING\r\n", "+PONG\r\n", knobShort, all, answer)
	add("GET /a HTTP/1.1\r\nHost: a\r\nb3: 0\r\nX-Request-Id: 7\r\n\r\n", "HTTP/1.1 204 No\r\n\r\n", knobOutbound|knobShort, all, answer)
	add("GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nuntil the end", 0, all, answer, act(opHalfClose, server))
	add("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\nExpect: 100-continue\r\n\r\n0123456789", "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n", 0,
		say(client, 17), answer, all)
	add(strings.Repeat(get, 70), strings.Repeat(ok, 70), 0, say(client, 31))
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		c, s := genStreams(r)
		if len(c)+len(s) > 12<<10 {
			continue
		}
		plan := make([]byte, r.IntN(24))
		for i := range plan {
			plan[i] = byte(r.Uint32())
			if r.IntN(3) > 0 {
				plan[i] = say(r.IntN(2), r.IntN(32))
			}
		}
		seeds = append(seeds, sessionSeed{c, s, plan, byte(r.IntN(32)) &^ knobRefused})
	}
	return seeds
}

// play plays one session and checks all there is to check.
func (st *stage) play(client, server, plan []byte, knobs byte) error {
	p := &player{stage: st, knobs: knobs, plan: plan, done: make(chan struct{})}
	p.sides[0].rest, p.sides[1].rest = client, server
	if err := st.w.loop.Post(p.begin); err != nil {
		return err
	}
	<-p.done
	// The ids of this session are nothing to the next: an input does the same each time.
	st.shared.Sweep(int64(time.Since(st.e.base) + 2*trace.DefaultJoinTTL))
	spans := takeSpans(st.e)
	if p.err == nil {
		p.err = p.check(spans)
	}
	if p.err != nil {
		return fmt.Errorf("%w\nplayed:\n%s", p.err, strings.Join(p.log, "\n"))
	}
	return nil
}
