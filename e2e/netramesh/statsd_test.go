package netramesh

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// counters receives statsd packets and sums the counters in them, until it has those that want says.
func counters(t *testing.T, conn net.PacketConn, want map[string]int) {
	t.Helper()
	got := map[string]int{}
	buf := make([]byte, 65536)
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			t.Fatalf("got %v, want %v: %v", got, want, err)
		}
		for _, line := range strings.Fields(string(buf[:n])) {
			var value int
			name, rest, _ := strings.Cut(line, ":")
			if _, err := fmt.Sscanf(rest, "%d|c", &value); err != nil {
				t.Fatalf("no counter: %q", line)
			}
			got[name] += value
		}
		enough := true
		for name, n := range want {
			if got[name] > n {
				t.Fatalf("got %v, want %v", got, want)
			}
			enough = enough && got[name] == n
		}
		if enough {
			if len(got) != len(want) {
				t.Errorf("got %v, want %v", got, want)
			}
			return
		}
	}
}

func TestRowStatsd(t *testing.T) {
	app, _ := answeringBy(t, func(head string) string {
		if strings.HasPrefix(head, "GET /missing") {
			return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
		}
		return ok
	})
	for prefix, dotted := range map[string]string{"": "", "shop": "shop."} {
		t.Run(prefix, func(t *testing.T) {
			conn, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			s := beside(t, nil, app, app, "NETRA_STATSD_ENABLED=true", "NETRA_STATSD_ADDRESS="+conn.LocalAddr().String(),
				"NETRA_STATSD_PREFIX="+prefix, "NETRA_HTTP_TRACING_IGNORED_PATHS=/health")
			for _, path := range []string{"/a", "/health", "/missing"} { // an ignored path counts, too
				get(t, s.Inbound, path)
			}
			get(t, s.Outbound, "/out") // is not counted
			counters(t, conn, map[string]int{dotted + "inbound.200": 2, dotted + "inbound.404": 1})
		})
	}
	t.Run("off", func(t *testing.T) {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		s := beside(t, nil, app, "", "NETRA_STATSD_ENABLED=false", "NETRA_STATSD_ADDRESS="+conn.LocalAddr().String())
		get(t, s.Inbound, "/a")
		s.Stop() // what there was to send is sent
		_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		if n, _, err := conn.ReadFrom(make([]byte, 100)); err == nil {
			t.Errorf("%d bytes", n)
		}
	})
	for _, bad := range []string{"perhaps", "yes", "1"} { // Netramesh knows no yes but "true"
		refusesToStart(t, []string{"NETRA_STATSD_ENABLED=" + bad}, fmt.Sprintf("NETRA_STATSD_ENABLED %q", bad))
	}
	for _, enabled := range []string{"", "false", "true"} {
		refusesToStart(t, []string{"NETRA_STATSD_ENABLED=" + enabled, "NETRA_STATSD_ADDRESS=nope"}, `NETRA_STATSD_ADDRESS "nope": want [HOST]:PORT`)
		refusesToStart(t, []string{"NETRA_STATSD_ENABLED=" + enabled, "NETRA_STATSD_PREFIX=a:b"}, "NETRA_STATSD_PREFIX", `"a:b"`)
	}
}
