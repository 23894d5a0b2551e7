package bench

import (
	"bytes"
	"net/http"
	"slices"
	"testing"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/loadtest"
)

// TestEveryPhaseIsProvenByItsOwnRequest: method, path, body and answer are those of the measurement.
func TestEveryPhaseIsProvenByItsOwnRequest(t *testing.T) {
	for _, s := range Scenarios(DefaultIdle) {
		for i := range max(1, len(s.Upstreams)) {
			if len(s.exchanges(i, "address")) == 0 {
				t.Errorf("%s: nothing is sent to its upstream %d, hence nothing proven", s.Name, i)
			}
		}
		for _, phase := range s.Phases {
			name := s.Name + "/" + phase.Name
			x := s.exchange(phase, "address")
			proven := false
			for _, y := range s.exchanges(phase.Upstream, "address") {
				proven = proven || y.Method == x.Method && y.Path == x.Path && y.Echo == x.Echo && bytes.Equal(y.Body, x.Body)
			}
			if !proven {
				t.Errorf("%s: its request is not proven", name)
			}
			if want, ok := argument(phase.Load, "--method"); ok && x.Method != want {
				t.Errorf("%s: proven with %s", name, x.Method)
			}
			if slices.Contains(phase.Load, "--tcp") != x.Echo || slices.Contains(phase.Load, "--events") != (x.Events > 0) {
				t.Errorf("%s: proven with %+v", name, x)
			}
			if len(x.Body) != size(phase.Load) || x.Echo && len(x.Body) == 0 {
				t.Errorf("%s: proven with a body of %d bytes", name, len(x.Body))
			}
			if !x.Echo && x.Events == 0 && len(x.Answer) == 0 {
				t.Errorf("%s: an empty answer would do", name)
			}
			if len(s.Upstreams) > 0 && !x.Echo && x.Events == 0 && !x.Hashed {
				t.Errorf("%s: the answer may lack its hash", name)
			}
			if len(x.Body) > 0 && !x.Echo && x.Upstream != "address" {
				t.Errorf("%s: nobody asks the server whether the body came", name)
			}
		}
	}
}

func TestExchangeOfAPost(t *testing.T) {
	s := Scenario{Name: "post", Upstreams: []Upstream{{Args: load("--body-size", "16")}}, Phases: []Phase{
		{Name: "post", Path: "/p", Load: load("--method", "POST", "--body-size", "99", "--header", "X-A: b")},
		{Name: "again", Path: "/p", Load: load("--rate", "9", "--method", "POST", "--body-size", "99", "--header", "X-A: b")},
	}}
	all := s.exchanges(0, "u")
	if len(all) != 1 {
		t.Fatalf("%d exchanges, want one for the two", len(all))
	}
	if x := all[0]; x.Method != http.MethodPost || x.Path != "/p" || !bytes.Equal(x.Body, loadtest.RandomBytes(1, 99)) ||
		!bytes.Equal(x.Answer, loadtest.RandomBytes(0, 16)) || !x.Hashed || len(x.Headers) != 1 || x.Headers[0].Value != "b" {
		t.Errorf("%+v", x)
	}
	rest := Scenario{Name: "rest"}.exchanges(0, "u")
	if len(rest) != 1 || !bytes.Equal(rest[0].Answer, peer.SmallBody()) {
		t.Errorf("without phases: %+v", rest)
	}
}
