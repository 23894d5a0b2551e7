package accesslog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/ring"
	"github.com/spanwire/spanwire/core/span"
)

// patience bounds whatever a test waits for.
const patience = 20 * time.Second

// record is a finished request with a path.
func record(path string) *span.Record {
	r := new(span.Record)
	r.Start, r.Duration, r.Status, r.Kind = 1_700_000_000_123_456_000, 1_234_567, 200, span.Server
	r.RequestBytes, r.ResponseBytes = 120, 3456
	r.TraceID, r.SpanID = span.TraceID{0: 1, 15: 2}, span.ID{7: 3}
	r.Client = span.EndpointFrom(netip.MustParseAddrPort("10.1.2.3:4567"))
	r.Server = span.EndpointFrom(netip.MustParseAddrPort("10.0.0.9:80"))
	r.SetTextString(span.Method, "GET")
	r.SetTextString(span.Host, "shop")
	r.SetTextString(span.Path, path)
	r.SetTextString(span.RequestID, "id-1")
	r.SetTextString(span.UserAgent, "curl/8 (x)")
	return r
}

// push puts records into a ring; it reports whether all had room.
func push(r *ring.Ring[span.Record], recs ...*span.Record) bool {
	for _, rec := range recs {
		slot := r.Reserve()
		if slot == nil {
			return false
		}
		rec.CopyTo(slot)
		r.Commit()
	}
	return true
}

func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func open(t *testing.T, cfg Config, slots int) (*Log, *ring.Ring[span.Record]) {
	t.Helper()
	r := ring.New[span.Record](slots)
	l, err := Open(cfg, []*ring.Ring[span.Record]{r})
	if err != nil {
		t.Fatal(err)
	}
	return l, r
}

func TestLinesSayWhatHappened(t *testing.T) {
	r := record("/a/b")
	r.SetTextString(span.Query, "q=1&token=REDACTED")
	want := `time=2023-11-14T22:13:20.123456Z side=inbound trace_id=01000000000000000000000000000002 span_id=0000000000000003 sampled=false ` +
		`method=GET host=shop path=/a/b?q=1&token=REDACTED status=200 request_bytes=120 response_bytes=3456 duration_ms=1.234 ` +
		`peer=10.1.2.3:4567 request_id=id-1 user_agent="curl/8 (x)"` + "\n"
	if got := string(appendLine(nil, r, false)); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	r.Kind, r.Failure = span.Client, span.FailureServerReset
	var v map[string]any
	if err := json.Unmarshal(appendLine(nil, r, true), &v); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"side": "outbound", "peer": "10.0.0.9:80", "failure": "server_reset", "status": 200.0, "duration_ms": 1.234,
		"path": "/a/b?q=1&token=REDACTED", "user_agent": "curl/8 (x)", "sampled": false} {
		if v[key] != want {
			t.Errorf("%s: %v, want %v", key, v[key], want)
		}
	}
}

// TestNobodyForgesLines has values that try to end the line, to add a field, or to write over the terminal.
func TestNobodyForgesLines(t *testing.T) {
	for _, hostile := range []string{"/a\nstatus=200", "/a\r\nx", "/a status=500", `/a" status="500`, "/a\x1b[2K", "/\u202eabc", "/\u2028x", "/\u0085x", "/\xff\xfe",
		`/\u000a`, "/\x00", "/\x7f", "/ünï", "/\U000e0041"} {
		for _, asJSON := range []bool{false, true} {
			got := appendLine(nil, record(hostile), asJSON)
			if bytes.Count(got, []byte("\n")) != 1 || bytes.ContainsAny(got, "\x00\r\x1b\x7f\u202e\u2028\u0085") {
				t.Errorf("%q: %q", hostile, got)
			}
			if n := bytes.Count(got, []byte(" status=")); !asJSON && n != 1 && !strings.Contains(hostile, " status=") {
				t.Errorf("%q: %d fields called status", hostile, n)
			}
			var v map[string]any
			if asJSON {
				if err := json.Unmarshal(got, &v); err != nil || v["path"] != strings.ToValidUTF8(hostile, "\uFFFD") && !strings.Contains(hostile, "\xff") {
					t.Errorf("%q: %v %q", hostile, err, v["path"])
				}
			}
		}
	}
	if got := string(appendLine(nil, record("/a status=500"), false)); !strings.Contains(got, `path="/a status=500"`) {
		t.Errorf("a path with a space stands without quotes: %s", got)
	}
}

func FuzzLine(f *testing.F) {
	f.Add([]byte("/a\nb"), []byte("q=\"1"), []byte("agent\\"))
	f.Add([]byte("/\xff"), []byte("\xe2\x80\xae"), []byte("\x00"))
	f.Add([]byte(strings.Repeat("\U000e0041", 64)), bytes.Repeat([]byte{1}, 256), bytes.Repeat([]byte{'"'}, 160))
	f.Fuzz(func(t *testing.T, path, query, agent []byte) {
		r := record("/")
		r.SetText(span.Path, path)
		r.SetText(span.Query, query)
		r.SetText(span.UserAgent, agent)
		text, asJSON := appendLine(nil, r, false), appendLine(nil, r, true)
		for _, got := range [][]byte{text, asJSON} {
			if len(got) > maxLineBytes || bytes.IndexByte(got, '\n') != len(got)-1 {
				t.Errorf("%d bytes: %q", len(got), got)
			}
			for _, c := range got[:len(got)-1] {
				if c < ' ' || c == 0x7f {
					t.Errorf("control character in %q", got)
				}
			}
		}
		if !json.Valid(asJSON) {
			t.Errorf("no JSON: %q", asJSON)
		}
	})
}

func TestLinesAreAppendedToTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access.log")
	if err := os.WriteFile(file, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, r := open(t, Config{File: file}, 64)
	l.Start()
	push(r, record("/1"), record("/2"))
	await(t, "two lines", func() bool { return l.Stats().Lines == 2 })
	// What copytruncate does: the next line stands at the beginning.
	if err := os.Truncate(file, 0); err != nil {
		t.Fatal(err)
	}
	push(r, record("/3"))
	l.Shutdown(context.Background())
	got, err := os.ReadFile(file)
	if err != nil || strings.Count(string(got), "\n") != 1 || !strings.HasPrefix(string(got), "time=") || !strings.Contains(string(got), "path=/3") {
		t.Errorf("%v: %q", err, got)
	}
	if s := l.Stats(); s.Lines != 3 || s.Dropped != [NumReasons]uint64{} {
		t.Errorf("account: %+v", s)
	}
}

// TestDiskFull writes where nothing has room (man 4 full).
func TestDiskFull(t *testing.T) {
	l, r := open(t, Config{File: "/dev/full"}, 64)
	l.Start()
	push(r, record("/1"), record("/2"))
	await(t, "drops", func() bool { return l.Stats().Dropped[ReasonWrite] == 2 })
	l.Shutdown(context.Background())
	if s := l.Stats(); s.Lines != 0 {
		t.Errorf("account: %+v", s)
	}
}

// tearing writes the first half of the first batch and fails, then writes all.
type tearing struct {
	bytes.Buffer
	failed bool
}

func (w *tearing) Write(p []byte) (int, error) {
	if !w.failed {
		w.failed = true
		n, _ := w.Buffer.Write(p[:len(p)*3/4])
		return n, syscall.ENOSPC
	}
	return w.Buffer.Write(p)
}

func TestTornLineIsEnded(t *testing.T) {
	var out tearing
	l, r := open(t, Config{Output: &out}, 64)
	push(r, record("/1"), record("/2"))
	l.Start()
	await(t, "the torn line", func() bool { return l.Stats().Dropped[ReasonWrite] == 1 })
	push(r, record("/3"))
	l.Shutdown(context.Background())
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], "path=/1") || !strings.HasPrefix(lines[2], "time=") || !strings.Contains(lines[2], "path=/3") {
		t.Errorf("%q", lines)
	}
	if s := l.Stats(); s.Lines != 2 {
		t.Errorf("account: %+v", s)
	}
}

// TestSlowOutputCostsLinesAndNothingElse has a pipe that nobody reads.
func TestSlowOutputCostsLinesAndNothingElse(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	l, r := open(t, Config{Output: write}, 1024)
	l.Start()
	total := 0
	await(t, "lines to be dropped", func() bool {
		for push(r, record("/x")) {
			total++
			if r.Len() > r.Cap()/2 {
				break
			}
		}
		return l.Stats().Dropped[ReasonQueueFull] > 0
	})
	await(t, "the rings to be emptied all the same", func() bool { return r.Len() == 0 })
	over, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	l.Shutdown(over)
	s := l.Stats()
	if s.Dropped[ReasonShutdown] == 0 {
		t.Errorf("account: %+v", s)
	}
	// The one batch in the blocked write is unknown to the account; reading the pipe lets it end.
	go func() { _, _ = io.Copy(io.Discard, bufio.NewReader(read)) }()
	<-l.ended
	_ = write.Close()
	s = l.Stats()
	if got := s.Lines + s.Dropped[ReasonQueueFull] + s.Dropped[ReasonShutdown] + s.Dropped[ReasonWrite]; got != uint64(total) {
		t.Errorf("%d lines accounted for, want %d: %+v", got, total, s)
	}
}

func TestFullRingIsCounted(t *testing.T) {
	l, r := open(t, Config{Output: io.Discard}, 4)
	for range 6 {
		push(r, record("/x"))
	}
	if got := l.Stats().Dropped[ReasonRingFull]; got != 2 {
		t.Errorf("%d, want 2", got)
	}
	l.Start()
	l.Shutdown(context.Background())
	if got := l.Stats().Lines; got != 4 {
		t.Errorf("%d lines, want 4", got)
	}
}

func TestFilesThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, cause := range map[string]error{dir: syscall.EISDIR, filepath.Join(dir, "no", "such"): syscall.ENOENT, fifo: syscall.ENXIO} {
		_, err := Open(Config{File: file}, nil)
		if !errors.Is(err, cause) || !strings.HasPrefix(err.Error(), `--access-log "`+file+`": `) {
			t.Errorf("%s: %v, want %v", file, err, cause)
		}
	}
}

func TestLinesAllocateNothing(t *testing.T) {
	r, buf := record("/a/b c"), make([]byte, 0, bufferBytes)
	for _, asJSON := range []bool{false, true} {
		if n := testing.AllocsPerRun(100, func() { appendLine(buf, r, asJSON) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

func BenchmarkLine(b *testing.B) {
	r, buf := record("/a/b"), make([]byte, 0, bufferBytes)
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(int64(len(appendLine(buf, r, false))))
	}
}
