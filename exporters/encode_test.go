package exporters

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/ring"
	"github.com/spanwire/spanwire/core/span"
)

func TestEncodingAllocatesNothing(t *testing.T) {
	all := hostile()
	for _, o := range append(oracles(), oracle{name: "log", make: func(*Config) Encoder { return logEncoder{} }}) {
		for _, name := range []string{"otel", "zipkin", "netra"} {
			e, s, buf := o.make(oracleConfig()), schemaOf(name), make([]byte, 0, 256<<10)
			var v View
			if n := testing.AllocsPerRun(100, func() {
				dst := e.Begin(buf)
				for _, r := range all {
					v.set(r, s)
					dst = e.Append(dst, &v)
				}
				e.Finish(dst, len(all))
			}); n != 0 {
				t.Errorf("%s, %s: %v allocations for %d spans", o.name, name, n, len(all))
			}
		}
	}
}

func TestDrainingAllocatesNothingPerSpan(t *testing.T) {
	r := ring.New[span.Record](1024)
	cfg := testConfig("zipkin", "otlp", "none")
	cfg.BatchSpans = 1 << 20
	cfg.BatchBytes = 4 << 20
	cfg.QueueBytes = 32 << 20
	cfg.QueueSpans = 8 << 20
	p, err := New(cfg, []*ring.Ring[span.Record]{r})
	if err != nil {
		t.Fatal(err)
	}
	rec, now := record(span.Server, 1), time.Now()
	if n := testing.AllocsPerRun(50, func() { // not started: nothing is sent, one batch is filled
		for range 64 {
			push(t, r, rec)
		}
		p.empty(now)
	}); n != 0 {
		t.Errorf("%v allocations for 64 spans", n)
	}
}

func TestNothingIsHeldUntilTheFirstSpanNorWhenIdle(t *testing.T) {
	p, rings := newTestPipeline(t, testConfig("zipkin", "log"), 64)
	if p.pool.free != nil || p.lanes[0].buf != nil {
		t.Error("buffers before the first span")
	}
	p.lanes[1].Sender.(*logSender).out = &bytes.Buffer{}
	push(t, rings[0], record(span.Server, 1))
	now := time.Now()
	p.empty(now)
	p.flush(now, true)
	for _, l := range p.lanes {
		b, _ := l.queue.take()
		l.settle(b, Result{Outcome: Delivered})
	}
	if len(p.pool.free) != 2 {
		t.Errorf("%d buffers came back", len(p.pool.free))
	}
	p.pool.trim()
	if p.pool.free != nil {
		t.Error("buffers after trim")
	}
}

func TestPace(t *testing.T) {
	tick := tickMax
	for range 10 {
		tick = pace(tick, 10*busySpans)
	}
	if tick != tickMin {
		t.Errorf("under load: %v", tick)
	}
	for range 10 {
		tick = pace(tick, 1)
	}
	if tick != tickBusy {
		t.Errorf("with few spans: %v", tick)
	}
	for range 10 {
		tick = pace(tick, 0)
	}
	if tick != tickMax {
		t.Errorf("at rest: %v", tick)
	}
}

func TestJSONStringsAreEscapedAtEveryOffset(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			s := validText(strings.Repeat("a", at) + string([]byte{byte(c)}) + strings.Repeat("b", 20-at))
			got := string(appendJSON(nil, s))
			want := s
			if c < 0x20 || c == '"' || c == '\\' {
				want = s[:at] + string(appendEscape(nil, byte(c))) + s[at+1:]
			}
			if got != `"`+want+`"` {
				t.Fatalf("byte %02x at %d: %s", c, at, got)
			}
		}
	}
}

// FuzzEncoders makes a record of the input and lets every oracle compare what each encoder makes of it.
func FuzzEncoders(f *testing.F) {
	f.Add([]byte("GET /a"), []byte("/a\xff\x00\""), []byte("host:80"), []byte("vendor=\xfe"), int64(1_700_000_000_000_000_000), int64(1000), uint16(200), uint8(0x13), uint8(0))
	f.Add([]byte(""), []byte("?"), []byte("[::1]:99999"), []byte(""), int64(0), int64(0), uint16(0), uint8(0xff), uint8(7))
	f.Add([]byte("İ\u2028"), []byte("\xed\xa0\x80"), []byte("]:["), []byte("="), int64(-1), int64(-1), uint16(599), uint8(0x80), uint8(2))
	config := oracleConfig()
	all := oracles()
	f.Fuzz(func(t *testing.T, name, path, host, tag []byte, start, duration int64, status uint16, bits, what uint8) {
		r := record(span.Kind(bits&1), int(bits))
		r.Flags, r.Join, r.Failure = span.Flags(bits>>1&15), span.Join(what%uint8(span.NumJoins)), span.Failure(what%uint8(span.NumFailures))
		r.Start, r.Duration, r.Status, r.FirstByte = start, duration, status, duration
		r.RequestBytes, r.ResponseBody = start, duration
		r.SetText(span.Name, name)
		r.SetText(span.Path, path)
		r.SetText(span.Host, host)
		r.SetText(span.TraceState, tag)
		if bits&0x40 != 0 {
			r.SetText(span.Method, name)
			r.SetText(span.Protocol, host)
		}
		r.AddTag("xtag", tag)
		schemaName := []string{"otel", "zipkin", "netra"}[int(what>>4)%3]
		for _, o := range all {
			if err := o.check(encode(o.make(config), schemaName, r), schemaName, []*span.Record{r}); err != nil {
				t.Fatalf("%s, %s: %v", o.name, schemaName, err)
			}
		}
	})
}
