//go:build e2e

package intercept

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spanwire/spanwire/demo/collector"
	"github.com/spanwire/spanwire/demo/spans"
)

// serveApplication answers requests at addr, each after a call to next, until SIGTERM; then it answers what it has, makes one call more, and
// prints the paths that it answered and how many of its calls failed.
func serveApplication(addr, next string) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	var mu sync.Mutex
	var answered []string
	var failed atomic.Int64
	var first atomic.Pointer[string]
	client := newClient(true)
	call := func() {
		if got := ask(client, next); strings.HasPrefix(got, "error: ") {
			failed.Add(1)
			first.CompareAndSwap(nil, &got)
		}
	}
	server := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call()
		if _, err := fmt.Fprint(w, r.URL.Path); err == nil && http.NewResponseController(w).Flush() == nil {
			mu.Lock()
			answered = append(answered, r.URL.Path)
			mu.Unlock()
		}
	})}
	go func() { _ = server.Serve(l) }()
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	go func() {
		<-terminated
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			failed.Add(1)
		}
		call() // it takes its leave
		text := "none"
		if p := first.Load(); p != nil {
			text = *p
		}
		mu.Lock()
		fmt.Printf("%d %s %s\n", failed.Load(), strings.Join(append(answered, "."), " "), strings.ReplaceAll(text, " ", "_"))
		os.Exit(0)
	}()
	fmt.Println("serving")
}

// numbered is a load of requests that each have a path of their own.
type numbered struct {
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	mu       sync.Mutex
	received []string
}

// startNumbered begins such a load, from clients that keep their connection and clients that do not.
func startNumbered(addrs []string) *numbered {
	ctx, cancel := context.WithCancel(context.Background())
	l := &numbered{cancel: cancel}
	var n atomic.Int64
	for _, addr := range addrs {
		for _, keep := range []bool{true, true, false} {
			l.wg.Go(func() {
				c := newClient(keep)
				for ctx.Err() == nil {
					path := fmt.Sprintf("/%d", n.Add(1))
					if ask(c, addr+path) == path {
						l.mu.Lock()
						l.received = append(l.received, path)
						l.mu.Unlock()
					}
					time.Sleep(2 * time.Millisecond)
				}
			})
		}
	}
	return l
}

// answered returns how many requests were answered so far.
func (l *numbered) answered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.received)
}

// stop ends the load and returns the paths that were answered.
func (l *numbered) stop() string {
	l.cancel()
	l.wg.Wait()
	return strings.Join(append(l.received, "."), " ")
}

// orders are the ways in which application and sidecar may be told to end, with the time between.
var orders = []struct {
	name         string
	sidecarFirst bool
	gap          time.Duration
}{
	{"at once, the sidecar first", true, 0},
	{"at once, the application first", false, 0},
	{"the sidecar first", true, 400 * time.Millisecond},
	{"the application first", false, 400 * time.Millisecond},
	{"the sidecar alone, until it is cut off", true, 11 * time.Second},
}

// drainTimeout is shorter than the last of the gaps, and longer than any other stop takes.
const drainTimeout = 10 * time.Second

// TestStopTogether stops application and sidecar under load, in every order: what the application answered, its caller received; every call
// that the application made meanwhile, its last one included, came through; every request is in the trace; and the sidecar ends with 0.
func TestStopTogether(t *testing.T) {
	for _, o := range orders {
		t.Run(strings.NewReplacer(" ", "_", ",", "").Replace(o.name), func(t *testing.T) {
			isolated(t, "nft", func(h *host) { stopTogether(h, o.sidecarFirst, o.gap) })
		})
	}
}

// leastAnswered is how many requests are answered at least before anything is told to end.
const leastAnswered = 20

func stopTogether(h *host, sidecarFirst bool, gap time.Duration) {
	c, err := collector.Start()
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close() })
	s := h.start("--exporter", "zipkin", "--zipkin-endpoint", c.ZipkinEndpoint(), "--drain-timeout", drainTimeout.String())
	h.must("add")
	app := startPeer(h.t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: appUser, Gid: appUser}})
	if got := app.do("application :8090 %s", at(outsideAddrs[0], "9090")); got != "serving" {
		h.t.Fatal(got)
	}
	h.out.do("numbered %s %s", at(hostAddrs[0], "8090"), at(hostAddrs[2], "8090"))
	time.Sleep(500 * time.Millisecond) // a load that lasts
	h.eventually(fmt.Sprintf("%d requests to be answered", leastAnswered), patience, func() bool {
		n, err := strconv.Atoi(h.out.do("answered"))
		if err != nil {
			h.t.Fatal(err)
		}
		return n >= leastAnswered
	})
	process, err := os.FindProcess(app.pid)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := range 2 {
		if (i == 0) == sidecarFirst {
			s.Signal(syscall.SIGTERM)
		} else {
			_ = process.Signal(syscall.SIGTERM)
		}
		time.Sleep(gap)
	}
	line, err := app.out.ReadString('\n')
	if err != nil {
		h.t.Fatal(err)
	}
	received := strings.Fields(h.out.do("received"))
	idle := time.Now()
	s.Exit(0)
	if d := time.Since(idle); d > 5*time.Second {
		h.t.Errorf("the sidecar ended %v after the last request", d)
	}
	f := strings.Fields(line)
	failed, answered, first := f[0], f[1:len(f)-1], f[len(f)-1]
	if failed != "0" && gap < drainTimeout { // with the sidecar gone, calls are refused
		h.t.Errorf("%s of the application's calls failed: %s", failed, first)
	}
	if len(answered) < leastAnswered {
		h.t.Fatalf("only %d requests were answered", len(answered))
	}
	for _, path := range answered {
		if !slices.Contains(received, path) {
			h.t.Errorf("%s was answered and never received", path)
		}
	}
	traced := map[string]bool{}
	for _, sp := range c.Spans() {
		if sp.Kind == spans.Server {
			traced[sp.Tags["url.path"]] = true
		}
	}
	for _, path := range answered {
		if path != "." && !traced[path] {
			h.t.Errorf("%s is not in the trace (%d are)", path, len(traced))
			break
		}
	}
}
