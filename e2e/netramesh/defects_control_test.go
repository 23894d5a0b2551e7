package netramesh

import (
	"net"
	"strings"
	"testing"

	program "github.com/spanwire/spanwire/internal/sidecar"
)

// Undone: the admin listener is bound to every address, or the metrics listener answers what it answers.
func TestDefect24ControlIsOnLoopback(t *testing.T) {
	app, _ := answering(t, ok)
	s := beside(t, nil, app, "", "NETRA_PPROF_PORT="+program.FreePort(t))
	_, port, _ := net.SplitHostPort(s.Admin)
	if status, body := get(t, s.Admin, "/debug/pprof/"); status != 200 || !strings.Contains(body, "goroutine") {
		t.Errorf("profiles on loopback: %d", status)
	}
	if c, err := net.DialTimeout("tcp", "127.0.0.2:"+port, patience); err == nil {
		c.Close()
		t.Error("the admin port answers at another address")
	}
	for _, path := range []string{"/debug/pprof/heap", "/config", "/drain", "/quitquitquit", "/loglevel"} {
		if _, body := get(t, s.Metrics, path); strings.Contains(body, "heap profile") || strings.Contains(body, `"settings"`) {
			t.Errorf("GET %s of the metrics listener: %s", path, body)
		}
		if res, _ := ask(t, "POST", s.Metrics, path); res.StatusCode < 400 {
			t.Errorf("POST %s to the metrics listener: %d", path, res.StatusCode)
		}
	}
	if status, _ := get(t, s.Inbound, "/"); status != 200 {
		t.Errorf("a request afterwards: %d", status)
	}
}
