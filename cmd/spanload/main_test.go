package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/loadtest"
	"github.com/spanwire/spanwire/loadtest/server"
)

// call runs spanload with files in place of its outputs.
func call(t *testing.T, ctx context.Context, args ...string) (code int, out, diagnostics string) {
	t.Helper()
	files := make([]*os.File, 2)
	for i := range files {
		f, err := os.Create(filepath.Join(t.TempDir(), fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		files[i] = f
	}
	code = spanload(ctx, args, files[0], files[1])
	texts := make([]string, 2)
	for i, f := range files {
		b, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(b)
		_ = f.Close()
	}
	return code, texts[0], texts[1]
}

// startServer starts an HTTP server for the time of the test.
func startServer(t *testing.T, o server.Options) string {
	t.Helper()
	s, err := server.StartHTTP("127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.URL()
}

// brief are flags for a run that is over soon.
var brief = []string{"--rate", "200", "--connections=2", "--warmup", "0s", "--duration", "200ms"}

func TestSpanload_UsageErrorsNameFlagValueAndAllowed(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{}, []string{"target", "one URL"}},
		{[]string{"a:1", "b:2"}, []string{"2 targets", "one URL"}},
		{[]string{"--rate", "fast", "a:1"}, []string{"--rate fast", "0.01 to 10000000"}},
		{[]string{"--rate=-5", "a:1"}, []string{"--rate -5", "0.01 to 10000000"}},
		{[]string{"--closed", "--rate", "5", "a:1"}, []string{"--rate 5", "--closed"}},
		{[]string{"--duration", "10", "a:1"}, []string{"--duration 10", "10s"}},
		{[]string{"--connections", "x", "a:1"}, []string{"--connections x", "1 to 60000"}},
		{[]string{"--arrivals", "bursts", "a:1"}, []string{"--arrivals bursts", "constant or poisson"}},
		{[]string{"--header", "nocolon", "a:1"}, []string{"--header nocolon", "Name: value"}},
		{[]string{"--expect-status", "2xx", "a:1"}, []string{"--expect-status 2xx", "200,404"}},
		{[]string{"--body-file", "/does/not/exist", "a:1"}, []string{"--body-file", "/does/not/exist"}},
		{[]string{"--closed=maybe", "a:1"}, []string{"--closed maybe", "no value"}},
		{[]string{"a:1", "--rate"}, []string{"--rate", "needs a value"}},
		{[]string{"--tcp", "--body-size", "1", "http://a:1/"}, []string{"target", "host:port"}},
		{[]string{"--nonsense", "a:1"}, []string{"--nonsense"}},
		{[]string{"serve", "--latency", "slow"}, []string{"--latency slow", "uniform"}},
		{[]string{"serve", "--error-rate", "2"}, []string{"--error-rate 2", "0 to 1"}},
		{[]string{"serve", "--tcp", "--loops", "0"}, []string{"--loops 0", "1 or more"}},
		{[]string{"serve", "--loops", "2"}, []string{"--loops 2", "with --tcp only"}},
		{[]string{"serve", "--message-size", "64"}, []string{"--message-size 64", "with --tcp only"}},
		{[]string{"serve", "--tcp", "--error-rate", "0.5"}, []string{"--error-rate 0.5", "without --tcp only", "--reset-rate"}},
		{[]string{"serve", "--body-size=9", "--tcp"}, []string{"--body-size 9", "without --tcp only", "--message-size"}},
		{[]string{"serve", "--tcp", "--chunked"}, []string{"--chunked (", "without --tcp only"}},
		{[]string{"serve", "--tcp", "--events", "3"}, []string{"--events 3", "without --tcp only"}},
		{[]string{"serve", "--tcp", "--reset-rate", "2"}, []string{"--reset-rate 2", "0 to 1"}},
		{[]string{"serve", "--tcp", "--message-size", "-1"}, []string{"--message-size -1", "for anything"}},
		{[]string{"serve", "--tcp", "--message-seed", "3"}, []string{"--message-seed 3", "with --message-size above 0 only"}},
		{[]string{"serve", "--message-seed=3", "--message-size=0", "--tcp"}, []string{"--message-seed 3", "with --message-size above 0 only"}},
		{[]string{"serve", "--message-seed", "3"}, []string{"--message-seed 3", "with --tcp only"}},
		{[]string{"serve", "extra"}, []string{"extra", "flags only"}},
		{[]string{"sink", "--mode", "happy"}, []string{"--mode happy", "healthy"}},
	} {
		code, out, diagnostics := call(t, context.Background(), c.args...)
		if code != exitUsage || out != "" {
			t.Errorf("%v: exit %d, output %q", c.args, code, out)
		}
		for _, part := range c.want {
			if !strings.Contains(diagnostics, part) {
				t.Errorf("%v: %q does not say %q", c.args, diagnostics, part)
			}
		}
	}
}

func TestSpanload_HelpListsEveryFlag(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"help"}, {"-h"}, {"serve", "--help"}, {"sink", "--help"}} {
		code, out, diagnostics := call(t, context.Background(), args...)
		if code != exitOK || diagnostics != "" || strings.Count(out, "\n  --") < 4 {
			t.Errorf("%v: exit %d, %q, %q", args, code, out, diagnostics)
		}
	}
	_, out, _ := call(t, context.Background(), "--help")
	for _, flag := range []string{"rate", "closed", "connections", "duration", "warmup", "method", "header", "body-size", "body-file",
		"pipeline", "no-keepalive", "timeout", "expect-status", "tcp", "seed", "json", "allow-errors"} {
		if !strings.Contains(out, "--"+flag+" ") {
			t.Errorf("--%s is missing", flag)
		}
	}
}

func TestSpanload_TableInAPipeAndNothingElse(t *testing.T) {
	url := startServer(t, server.Options{})
	code, out, diagnostics := call(t, context.Background(), append(brief, url)...)
	if code != exitOK || diagnostics != "" || !strings.Contains(out, "40 right, 0 wrong") || strings.Contains(out, "\x1b") {
		t.Errorf("exit %d, %q\n%s", code, diagnostics, out)
	}
}

func TestSpanload_UnexpectedAnswersDecideTheExitCode(t *testing.T) {
	url := startServer(t, server.Options{ErrorRate: 1})
	args := append([]string{"run"}, append(brief, url)...)
	if code, out, _ := call(t, context.Background(), args...); code != exitFailed || !strings.Contains(out, "UNEXPECTED ANSWERS: 40") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if code, out, _ := call(t, context.Background(), append(args, "--expect-status", "500")...); code != exitOK {
		t.Errorf("expected: exit %d\n%s", code, out)
	}
	mixed := startServer(t, server.Options{ErrorRate: 0.5})
	if code, out, _ := call(t, context.Background(), append(brief, mixed, "--allow-errors")...); code != exitOK {
		t.Errorf("allowed: exit %d\n%s", code, out)
	}
}

func TestSpanload_JSONOnOutputAndInAFile(t *testing.T) {
	url, file := startServer(t, server.Options{}), filepath.Join(t.TempDir(), "r.json")
	code, out, diagnostics := call(t, context.Background(), append(brief, url, "--json", "--output", file)...)
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r loadtest.Result
	if err = json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if code != exitOK || diagnostics != "" || string(written) != out || r.Schema != loadtest.Schema || r.Requests.OK != 40 || !r.Valid {
		t.Errorf("exit %d, %q, %+v", code, diagnostics, r)
	}
}

func TestSpanload_InvalidAndUnreachableFail(t *testing.T) {
	slow := startServer(t, server.Options{Latency: server.Constant(100 * time.Millisecond)})
	args := []string{"--rate", "500", "--connections", "1", "--warmup", "0s", "--duration", "500ms", "--json", "--allow-errors", slow}
	if code, _, diagnostics := call(t, context.Background(), args...); code != exitFailed ||
		!strings.Contains(diagnostics, "INVALID RESULT: rate not reached") {
		t.Errorf("rate out of reach: exit %d, %q", code, diagnostics)
	}
	if code, _, diagnostics := call(t, context.Background(), append(brief, "127.0.0.1:1")...); code != exitFailed ||
		!strings.Contains(diagnostics, "127.0.0.1:1") {
		t.Errorf("nobody listens: exit %d, %q", code, diagnostics)
	}
}

func TestSpanload_ServersRunUntilTold(t *testing.T) {
	for _, args := range [][]string{
		{"serve", "--listen", "127.0.0.1:0"}, {"serve", "--tcp", "--listen", "127.0.0.1:0"},
		{"sink", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if code, out, diagnostics := call(t, ctx, args...); code != exitOK || !strings.HasPrefix(out, "listening on 127.0.0.1:") {
			t.Errorf("%v: exit %d, %q, %q", args, code, out, diagnostics)
		}
	}
}

// serveEchoFor runs `spanload serve --tcp` for the time of the test; stop ends it and returns what it said.
func serveEchoFor(t *testing.T, args ...string) (address string, stop func() string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan int, 1)
	go func() {
		ended <- spanload(ctx, append([]string{"serve", "--tcp", "--listen", "127.0.0.1:0"}, args...), out, out)
	}()
	said := func() string {
		b, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for deadline := time.Now().Add(20 * time.Second); !strings.HasSuffix(address, "\n"); time.Sleep(time.Millisecond) {
		if _, address, _ = strings.Cut(said(), "listening on "); time.Now().After(deadline) {
			t.Fatalf("it says %q", said())
		}
	}
	return strings.TrimSpace(address), func() string {
		cancel()
		if code := <-ended; code != exitOK {
			t.Errorf("exit %d", code)
		}
		return said()
	}
}

// TestSpanload_EchoOptionsAreHeeded: the client sees the delay and the resets, and the server verifies the client's messages.
func TestSpanload_EchoOptionsAreHeeded(t *testing.T) {
	client := func(address string, more ...string) (code int, r loadtest.Result) {
		args := append([]string{"--tcp", "--body-size", "64", "--closed", "--connections", "2", "--warmup", "0s", "--requests", "20",
			"--duration", "1m", "--json"}, more...)
		code, out, _ := call(t, context.Background(), append(args, address)...)
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		return code, r
	}
	address, stop := serveEchoFor(t, "--latency", "30ms", "--message-size", "64")
	if code, r := client(address); code != exitOK || r.Latency.Min < int64(30*time.Millisecond) {
		t.Errorf("exit %d, the fastest echo took %v", code, time.Duration(r.Latency.Min))
	}
	if said := stop(); strings.Contains(said, "Verified:0") || !strings.Contains(said, "Mismatched:0") {
		t.Errorf("the server says %q", said)
	}
	address, stop = serveEchoFor(t, "--reset-rate", "0.5")
	if code, r := client(address); code != exitFailed || r.Errors["reset"] == 0 || r.Requests.OK == 0 {
		t.Errorf("exit %d, %+v, errors %v", code, r.Requests, r.Errors)
	}
	stop()
	address, stop = serveEchoFor(t, "--message-size", "64")
	if code, r := client(address, "--seed", "2"); code != exitFailed || r.Requests.OK != 0 {
		t.Errorf("another seed: exit %d, %+v", code, r.Requests)
	}
	if said := stop(); strings.Contains(said, "Mismatched:0") {
		t.Errorf("the server says %q", said)
	}
}

// TestSpanload_BodyFileIsSent: an HTTP server receives it whole, and an echo of it is compared.
func TestSpanload_BodyFileIsSent(t *testing.T) {
	body := loadtest.RandomBytes(7, 3000)
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, body, 0o644); err != nil {
		t.Fatal(err)
	}
	var right, wrong atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		if got, err := io.ReadAll(q.Body); err == nil && q.Method == http.MethodPost && bytes.Equal(got, body) {
			right.Add(1)
		} else {
			wrong.Add(1)
		}
	}))
	defer s.Close()
	code, out, diagnostics := call(t, context.Background(), append(brief, "--method", "POST", "--body-file", file, s.URL)...)
	if code != exitOK || right.Load() != 40 || wrong.Load() != 0 {
		t.Errorf("exit %d, %d right, %d wrong: %s\n%s", code, right.Load(), wrong.Load(), diagnostics, out)
	}
	address, stop := serveEchoFor(t)
	if code, out, _ := call(t, context.Background(), append(brief, "--tcp", "--body-file", file, address)...); code != exitOK {
		t.Errorf("echoed: exit %d\n%s", code, out)
	}
	if said := stop(); !strings.Contains(said, "Bytes:120000") {
		t.Errorf("the server says %q", said)
	}
}

// openTerminal returns both ends of a pseudo-terminal.
func openTerminal(t *testing.T) (controller, terminal *os.File) {
	t.Helper()
	controller, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { _ = controller.Close() })
	number, err := unix.IoctlGetInt(int(controller.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(controller.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return controller, terminal
}

func TestSpanload_ProgressOnATerminal(t *testing.T) {
	controller, terminal := openTerminal(t)
	url := startServer(t, server.Options{})
	args := []string{"--closed", "--warmup", "0s", "--duration", "700ms", url} // no rate that a busy machine could miss
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	if code := spanload(context.Background(), args, null, terminal); code != exitOK {
		t.Fatalf("exit %d", code)
	}
	shown := readUntil(t, controller, "left"+clearLine)
	for _, part := range []string{"/s", "p50", "p99", "errors 0"} {
		if !strings.Contains(shown, part) {
			t.Errorf("%q does not show %q", shown, part)
		}
	}
	if code := spanload(context.Background(), append(args, "--quiet"), null, terminal); code != exitOK {
		t.Fatalf("exit %d", code)
	}
	const mark = "nothing before this"
	if _, err := terminal.WriteString(mark); err != nil {
		t.Fatal(err)
	}
	if quiet := readUntil(t, controller, mark); quiet != mark {
		t.Errorf("--quiet shows %q", quiet)
	}
}

// readUntil reads from a terminal until what it shows ends so.
func readUntil(t *testing.T, controller *os.File, end string) string {
	t.Helper()
	shown, b := "", make([]byte, 4096)
	for !strings.HasSuffix(shown, end) {
		n, err := controller.Read(b)
		if err != nil {
			t.Fatalf("after %q: %v", shown, err)
		}
		shown += string(b[:n])
	}
	return shown
}
