//go:build e2e

package redirect

import (
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core"
	"github.com/spanwire/spanwire/core/route"
	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
	"github.com/spanwire/spanwire/internal/netns"
)

// TestRedirectedRequestsAreRouted: what the application sends outside goes where its route value says, if it may, else where it was going.
func TestRedirectedRequestsAreRouted(t *testing.T) {
	if !netns.Enter(t, 3*time.Minute, "nft", "nsenter") {
		return
	}
	outside(t)
	netns.Load(t, rules)
	if err := serve(":9191"); err != nil {
		t.Fatal(err)
	}
	allow, err := route.ParseAllow(nil)
	if err != nil {
		t.Fatal(err)
	}
	e := startTracing(t, core.Config{Transparent: ":15001"}, trace.Config{Routes: route.New(allow, 0, 0)})
	app := startPeer(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}})
	for _, c := range []struct{ value, want string }{
		{"a=10.9.0.2:9191", "10.9.0.2:9191"},
		{"a=[fd00:9::2]:9191", "[fd00:9::2]:9191"},
		{"b=10.9.0.2:9191", "10.9.0.9:9090"},
		{"a=169.254.169.254", "10.9.0.9:9090"},
		{"a=[fd00:ec2::254]", "10.9.0.9:9090"},
		{"a=127.0.0.1:9191", "10.9.0.9:9090"},
		{"a=10.9.0.1:15001", "10.9.0.9:9090"}, // the relay itself
		{"a=10.9.0.2:9191,", "10.9.0.9:9090"},
	} {
		if got := app.ask("10.9.0.9:9090," + c.value); got != c.want {
			t.Errorf("%s: arrived at %q, want %s", c.value, got, c.want)
			continue
		}
		if s := oneSpan(t, e); s.Kind != span.Client || s.Server != span.EndpointFrom(netip.MustParseAddrPort(c.want)) {
			t.Errorf("%s: a %v span to %v", c.value, s.Kind, s.Server.AddrPort())
		}
	}
}
