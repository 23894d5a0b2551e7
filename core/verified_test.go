package core

import (
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
