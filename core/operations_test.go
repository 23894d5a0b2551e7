package core

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
	"github.com/spanwire/spanwire/parsers"
)

// countingConfig is an engine's that counts by operation.
func countingConfig(t testing.TB, c trace.Config, series int) Config {
	t.Helper()
	c.CountOperations = true
	shared, err := trace.NewShared(c)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Trace: shared, MaxSeries: series}
}

// operationOf returns the counters of one operation; zeros when there are none. A request counts in the turn that relays the end of its response, so
// whoever has that finds it counted.
func operationOf(e *Engine, side span.Kind, operation, peer string) OperationStats {
	for _, o := range e.Operations() {
		if o.Side == side && o.Operation == operation && o.Peer == peer {
			return o
		}
	}
	return OperationStats{}
}

func TestRequestsAreCountedByOperation(t *testing.T) {
	cfg := countingConfig(t, trace.Config{IgnorePaths: []string{"/health"}, Sampler: mustSampler(t, "never")}, 1000)
	l := connect(t, cfg)
	for _, x := range []struct{ req, answer string }{
		{"GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
		{"GET /users/2 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"},
		{"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"},
	} {
		echoOnce(t, l, x.req, x.answer)
	}
	users := operationOf(l.e, span.Server, "GET /users/{id}", "")
	if users.Requests != [NumStatusClasses]uint64{2: 1, 4: 1} {
		t.Errorf("users: %v", users.Requests)
	}
	var durations uint64
	for _, n := range users.Durations.Counts {
		durations += n
	}
	if durations != 2 || users.Durations.SumNs == 0 {
		t.Errorf("durations: %+v", users.Durations)
	}
	wantIn := uint64(len("GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n") * 2)
	wantOut := uint64(len("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello") + len("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
	if users.RequestBytes != wantIn || users.ResponseBytes != wantOut {
		t.Errorf("bytes %d and %d, want %d and %d", users.RequestBytes, users.ResponseBytes, wantIn, wantOut)
	}
	if health := operationOf(l.e, span.Server, "GET /health", ""); health.Requests[5] != 1 {
		t.Errorf("an ignored request is not counted: %+v", l.e.Operations())
	}
	// The sums by operation are those of the contract's own families.
	var sum uint64
	for _, o := range l.e.Operations() {
		for _, n := range o.Requests {
			sum += n
		}
	}
	if sum != 3 {
		t.Errorf("%d requests by operation, want 3", sum)
	}
}

func mustSampler(t *testing.T, text string) trace.Sampler {
	t.Helper()
	s, err := trace.ParseSampler(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOutboundRequestsAreToldApartByPeer(t *testing.T) {
	up := newBackend(t)
	cfg := countingConfig(t, trace.Config{MaxPeers: 1}, 1000)
	cfg.Explicit = []Listen{{Addr: "127.0.0.1:0", Upstream: up.addr, Kind: span.Client}}
	e := startEngine(t, cfg)
	c := dial(t, e.Listeners()[0].Addr)
	l := &link{t: t, e: e, client: c, server: up.accept()}
	for _, host := range []string{"Cart.example:8080", "cart.example", "prices.example"} {
		echoOnce(t, l, "GET /x HTTP/1.1\r\nHost: "+host+"\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	}
	if got := operationOf(e, span.Client, "GET /x", "cart.example").Requests[2]; got != 2 {
		t.Errorf("cart.example: %d, want 2", got)
	}
	if got := operationOf(e, span.Client, "GET /x", "{other}").Requests[2]; got != 1 {
		t.Errorf("beyond the bound: %d, want 1", got)
	}
}

// TestSeriesAreBounded has more operations than there may be series, on two loops.
func TestSeriesAreBounded(t *testing.T) {
	keys := newOperationKeys(12 * SeriesPerOperation)
	a, b := newOperationTable(keys), newOperationTable(keys)
	for i := range uint32(1000) {
		x := trace.Active{Operation: i + 2, Peer: 2 + i%3}
		x.Rec.Kind = span.Kind(i & 1)
		if x.Rec.Kind == span.Server {
			x.Peer = 0
		}
		x.Rec.Status = 200
		a.observe(&x)
		a.observe(&x)
		b.observe(&x)
	}
	if len(a.rows) != 12 || len(b.rows) != 12 {
		t.Errorf("%d and %d rows, want 12", len(a.rows), len(b.rows))
	}
	for i := range a.rows {
		if a.rows[i].key != b.rows[i].key {
			t.Errorf("loops do not agree on row %d", i)
		}
	}
	var sum uint64
	for i := range a.rows {
		sum += a.rows[i].Requests[2]
	}
	if sum != 2000 {
		t.Errorf("%d requests counted, want 2000", sum)
	}
	other := a.row(newOperationKey(span.Client, trace.OtherName, trace.OtherName))
	if other.Requests[2] == 0 || len(a.rows) != 12 {
		t.Errorf("nothing under {other}")
	}
}

// twoSides starts an engine with an inbound and an outbound listener, which share a backend, and returns what opens a link on one of them.
func twoSides(t *testing.T, cfg Config) (open func(side span.Kind) *link) {
	t.Helper()
	up := newBackend(t)
	cfg.Explicit = []Listen{{Addr: "127.0.0.1:0", Upstream: up.addr, Kind: span.Server}, {Addr: "127.0.0.1:0", Upstream: up.addr, Kind: span.Client}}
	e := startEngine(t, cfg)
	return func(side span.Kind) *link {
		i := 0
		if side == span.Client {
			i = 1
		}
		c := dial(t, e.Listeners()[i].Addr)
		return &link{t: t, e: e, client: c, server: up.accept()}
	}
}

const emptyAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// TestWhoDropsTheID plays an application that forwards the id, or does not, with one or several requests in flight.
func TestWhoDropsTheID(t *testing.T) {
	for _, c := range []struct {
		name     string
		out      string // headers of the outbound call
		before   string // of one before it; "" = none
		second   bool   // another inbound request is in flight
		dropped  [trace.NumDrops]uint64
		bystands [trace.NumDrops]uint64 // of the other one
	}{
		{name: "forwards it", out: "X-Request-Id: the-id\r\n"},
		{name: "drops it", dropped: [trace.NumDrops]uint64{trace.DropAlone: 1}},
		{name: "forwards it on another call", before: "X-Request-Id: the-id\r\n"},
		{name: "has another id", out: "X-Request-Id: other\r\n"},
		{name: "forwards the context", out: "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"},
		{name: "drops it beside another", second: true, dropped: [trace.NumDrops]uint64{trace.DropShared: 1},
			bystands: [trace.NumDrops]uint64{trace.DropShared: 1}},
		{name: "forwards it beside another", out: "X-Request-Id: the-id\r\n", second: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			open := twoSides(t, countingConfig(t, trace.Config{}, 1000))
			in, out := open(span.Server), open(span.Client)
			in.send("GET /in HTTP/1.1\r\nHost: a\r\nX-Request-Id: the-id\r\n\r\n")
			head(t, in.server)
			var second *link
			if c.second {
				second = open(span.Server)
				second.send("GET /bystander HTTP/1.1\r\nHost: a\r\n\r\n")
				head(t, second.server)
			}
			if c.before != "" {
				echoOnce(t, out, "GET /before HTTP/1.1\r\nHost: b\r\n"+c.before+"\r\n", emptyAnswer)
			}
			echoOnce(t, out, "GET /out HTTP/1.1\r\nHost: b\r\n"+c.out+"\r\n", emptyAnswer)
			in.reply(emptyAnswer)
			head(t, in.client)
			if second != nil {
				second.reply(emptyAnswer)
				head(t, second.client)
			}
			if got := operationOf(in.e, span.Server, "GET /in", "").Dropped; got != c.dropped {
				t.Errorf("dropped %v, want %v", got, c.dropped)
			}
			if got := operationOf(in.e, span.Server, "GET /bystander", "").Dropped; got != c.bystands {
				t.Errorf("bystander %v, want %v", got, c.bystands)
			}
		})
	}
}

// BenchmarkCountByOperation is what counting adds to a request.
func BenchmarkCountByOperation(b *testing.B) {
	t := newOperationTable(newOperationKeys(10000))
	list := make([]trace.Active, 100)
	for i := range list {
		list[i].Operation = uint32(i + 2)
		list[i].Rec.Status, list[i].Rec.Duration, list[i].Rec.RequestBytes = 200, int64(i)*100_000, 300
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		t.observe(&list[i%len(list)])
		i++
	}
}

// TestScrapesDisturbNoRequest reads the counters while requests go on, and they add up in the end.
func TestScrapesDisturbNoRequest(t *testing.T) {
	cfg := countingConfig(t, trace.Config{Fold: "off"}, 10000)
	cfg.Loops = 2
	echo := serve(t, func(c *net.TCPConn) {
		for requests := bufio.NewReader(c); ; {
			r, err := http.ReadRequest(requests)
			if err != nil {
				return
			}
			_ = r.Body.Close()
			_, _ = io.WriteString(c, emptyAnswer)
		}
	})
	e, addr := inboundTo(t, echo, cfg)
	const conns, each = 4, 200
	done := make(chan error, conns)
	for i := range conns {
		c := dial(t, addr)
		go func() {
			buf := make([]byte, len(emptyAnswer))
			for k := range each {
				if _, err := fmt.Fprintf(c, "GET /p%d HTTP/1.1\r\nHost: a\r\n\r\n", (i*each+k)%300); err != nil {
					done <- err
					return
				}
				if _, err := io.ReadFull(c, buf); err != nil {
					done <- err
					return
				}
			}
			done <- c.Close()
		}()
	}
	for left := conns; left > 0; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			left--
		case <-time.After(time.Millisecond):
			e.Operations()
		}
		takeSpans(e)
	}
	noSessions(t, e)
	list, sum := e.Operations(), uint64(0)
	for _, o := range list {
		sum += o.Requests[2]
	}
	if sum != conns*each || len(list) != 300 {
		t.Errorf("%d requests of %d operations, want %d of 300", sum, len(list), conns*each)
	}
}

// TestAScrapeTakesFewRowsAtATime: a loop that a scraper asks copies 16 KiB before it turns to its requests again, however many operations there are, and
// nothing is left out.
func TestAScrapeTakesFewRowsAtATime(t *testing.T) {
	const operations = 1001
	table := newOperationTable(newOperationKeys(operations * SeriesPerOperation))
	for i := range uint32(operations) {
		table.row(newOperationKey(span.Server, i+trace.OtherName, 0))
	}
	var all []operationRow
	for {
		part := table.appendRows(nil, len(all))
		if n := len(part) * int(reflect.TypeFor[operationRow]().Size()); n > 16<<10 {
			t.Fatalf("%d rows at a time, %d bytes", len(part), n)
		}
		if len(part) == 0 {
			break
		}
		all = append(all, part...)
	}
	if !slices.Equal(all, table.rows) {
		t.Errorf("%d rows of %d", len(all), len(table.rows))
	}
}

// TestScrapeOfManyOperationsIsQuick has as many operations on both loops as the default bound allows; a loaded machine has far more time than it takes.
func TestScrapeOfManyOperationsIsQuick(t *testing.T) {
	cfg := countingConfig(t, trace.Config{MaxOperations: 1000}, 10000)
	cfg.Loops, cfg.Transparent = 2, "127.0.0.1:0"
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	for _, w := range e.workers {
		for i := range uint32(1000) {
			w.operations.row(newOperationKey(span.Kind(i&1), trace.OtherName, 0)).Requests[2]++
			w.operations.row(newOperationKey(span.Server, i+trace.OtherName, 0)).Requests[2]++
		}
	}
	// Names of these numbers, so that they can be told.
	tracer := cfg.Trace.NewTracer()
	for i := range 1000 {
		data := fmt.Appendf(nil, "/p/x%cy%c", 'a'+rune(i%26), 'a'+rune(i/26))
		nameOperation(tracer, data)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	fastest := time.Hour
	for range 5 {
		start := time.Now()
		list := e.Operations()
		fastest = min(fastest, time.Since(start))
		if most := 10000 / SeriesPerOperation; len(list) > most || len(list) < most-2 {
			t.Fatalf("%d operations, want %d", len(list), most)
		}
	}
	if fastest > 50*time.Millisecond {
		t.Errorf("a scrape takes %v, want at most 50 ms", fastest)
	}
}

// nameOperation has the tracer see a request for path.
func nameOperation(t *trace.Tracer, path []byte) {
	var a trace.Active
	var edit trace.Edit
	head := parsers.Head{Path: parsers.Range{Lo: 0, Hi: uint32(len(path))}}
	t.Begin(&a, &trace.Request{Data: path, Head: &head, Kind: span.Server, Unedited: parsers.ReasonSlowHead}, &edit)
	t.End(&a, 1)
}
