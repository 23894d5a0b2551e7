package core

import (
	"strings"
	"testing"

	"github.com/spanwire/spanwire/core/verify"
)

// Engines of tests verify what they send, by these rules, unless a test sets its own; unverified switches it off.
var (
	testRules  = verify.NewRules(&verify.Names{RequestID: "X-Request-Id", TraceResponse: "X-Trace-Id", XSource: "X-Source", Route: "X-Route"})
	unverified = &verify.Rules{}
)

// rulesOf is what becomes of a test's Config.Verify.
func rulesOf(r *verify.Rules) *verify.Rules {
	switch r {
	case nil:
		return testRules
	case unverified:
		return nil
	}
	return r
}

// What is not verified has no reader beside it: its counters stay at zero while bytes flow.
func TestNothingIsVerifiedUnasked(t *testing.T) {
	for _, rules := range []*verify.Rules{unverified, nil} {
		l := connect(t, Config{Verify: rules})
		l.send(request)
		_ = head(t, l.server)
		l.reply(response)
		_ = mustRead(t, l.client, len(response))
		var want [2]verify.Counts
		if rules == nil {
			want = [2]verify.Counts{{Verified: uint64(len(request))}, {Verified: uint64(len(response))}}
		}
		if got := l.e.Stats().Verified; got != want {
			t.Errorf("verified %+v, want %+v", got, want)
		}
	}
}

// What is told of altered bytes at the end of a session is one line, of places and not of bytes.
func TestAlteredBytesBesidesAreOneLine(t *testing.T) {
	var log logBuffer
	s := &session{w: &worker{e: &Engine{cfg: Config{Log: log.debug()}}}}
	s.AlteredBesides(verify.Rest{Direction: 1, Findings: 3, Bytes: 7, From: 100, To: 260})
	const want = `level=ERROR msg="more bytes were altered" `
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, want) ||
		!strings.Contains(got, " direction=server_to_client places=3 bytes=7 from_offset=100 to_offset=260 ") {
		t.Errorf("logged %q", got)
	}
}

// closeVerified closes e: nothing may have been altered, and each byte that was received is accounted for.
func closeVerified(t testing.TB, e *Engine) {
	t.Helper()
	e.Close()
	if e.cfg.Verify == nil {
		return
	}
	st := e.Stats()
	for d, v := range st.Verified {
		if v.Altered > 0 || v.Verified+v.Undelivered != st.Bytes[d] {
			t.Errorf("direction %d: %d bytes altered, %d verified + %d undelivered of %d received", d, v.Altered, v.Verified, v.Undelivered, st.Bytes[d])
		}
	}
}
