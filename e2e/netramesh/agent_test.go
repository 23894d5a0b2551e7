package netramesh

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	emit "github.com/jaegertracing/jaeger-idl/thrift-gen/agent"
	"github.com/jaegertracing/jaeger-idl/thrift-gen/jaeger"
)

// tracing is a span as the agent got it.
type tracing struct {
	Service string
	Process map[string]any // tags of the process
	Op      string
	Trace   string // hex, without leading zeros
	ID      uint64
	Parent  uint64
	Flags   int32
	Tags    map[string]any // string, int64 or bool
}

// agent is a Jaeger agent: a UDP socket that decodes compact Thrift with Jaeger's own library.
type agent struct {
	t    *testing.T
	conn *net.UDPConn

	mu      sync.Mutex
	got     []tracing
	at      []time.Time
	changed chan struct{} // holds a value when there is more
}

// newAgent starts an agent at a free port, or at the given one.
func newAgent(t *testing.T, port ...int) *agent {
	t.Helper()
	addr := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	if len(port) > 0 {
		addr.Port = port[0]
	}
	conn, err := net.ListenUDP("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{t: t, conn: conn, changed: make(chan struct{}, 1)}
	done := make(chan struct{})
	go a.receive(done)
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return a
}

// env returns the variables that name the agent, and a short flush interval.
func (a *agent) env() []string {
	return []string{"JAEGER_AGENT_HOST=127.0.0.1", fmt.Sprintf("JAEGER_AGENT_PORT=%d", a.port()), "JAEGER_REPORTER_FLUSH_INTERVAL=10ms"}
}

func (a *agent) port() int { return a.conn.LocalAddr().(*net.UDPAddr).Port }

// receive takes packets until the socket is closed.
func (a *agent) receive(done chan<- struct{}) {
	defer close(done)
	buf := make([]byte, 65536)
	for {
		n, err := a.conn.Read(buf)
		if err != nil {
			return
		}
		batch, err := decodePacket(buf[:n])
		if err != nil {
			a.t.Errorf("agent: %v", err)
			continue
		}
		a.mu.Lock()
		for _, s := range spansOf(batch) {
			a.got = append(a.got, s)
			a.at = append(a.at, time.Now())
		}
		a.mu.Unlock()
		select {
		case a.changed <- struct{}{}:
		default:
		}
	}
}

// decodePacket reads what Jaeger clients send an agent: the one-way call emitBatch in the compact protocol.
func decodePacket(b []byte) (*jaeger.Batch, error) {
	transport := thrift.NewTMemoryBufferLen(len(b))
	transport.Write(b)
	protocol := thrift.NewTCompactProtocolConf(transport, nil)
	name, kind, _, err := protocol.ReadMessageBegin(context.Background())
	if err != nil || name != "emitBatch" || kind != thrift.ONEWAY {
		return nil, fmt.Errorf("message %q of type %v: %w", name, kind, err)
	}
	args := emit.NewAgentEmitBatchArgs()
	if err := args.Read(context.Background(), protocol); err != nil {
		return nil, err
	}
	return args.Batch, nil
}

// spansOf returns the spans of a batch.
func spansOf(b *jaeger.Batch) (all []tracing) {
	process := tagsOf(b.Process.Tags)
	for _, s := range b.Spans {
		id := fmt.Sprintf("%x", uint64(s.TraceIdLow))
		if s.TraceIdHigh != 0 {
			id = fmt.Sprintf("%x%016x", uint64(s.TraceIdHigh), uint64(s.TraceIdLow))
		}
		all = append(all, tracing{Service: b.Process.ServiceName, Process: process, Op: s.OperationName, Trace: id,
			ID: uint64(s.SpanId), Parent: uint64(s.ParentSpanId), Flags: s.Flags, Tags: tagsOf(s.Tags)})
	}
	return all
}

func tagsOf(tags []*jaeger.Tag) map[string]any {
	m := map[string]any{}
	for _, tag := range tags {
		switch tag.VType {
		case jaeger.TagType_STRING:
			m[tag.Key] = tag.GetVStr()
		case jaeger.TagType_LONG:
			m[tag.Key] = tag.GetVLong()
		case jaeger.TagType_BOOL:
			m[tag.Key] = tag.GetVBool()
		}
	}
	return m
}

// spans waits for n spans and returns all that came, in the order of their coming; one too many fails the test.
func (a *agent) spans(n int) []tracing {
	a.t.Helper()
	deadline := time.After(patience)
	for {
		a.mu.Lock()
		got := append([]tracing(nil), a.got...)
		a.mu.Unlock()
		if len(got) >= n {
			if len(got) > n {
				a.t.Fatalf("%d spans, want %d: %+v", len(got), n, got)
			}
			return got
		}
		select {
		case <-a.changed:
		case <-deadline:
			a.t.Fatalf("%d spans, want %d: %+v", len(got), n, got)
		}
	}
}

// one waits for the one span there is.
func (a *agent) one() tracing { a.t.Helper(); return a.spans(1)[0] }

// count returns how many spans came so far.
func (a *agent) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.got)
}

// find returns the one span of that kind and operation.
func find(t *testing.T, all []tracing, kind, op string) tracing {
	t.Helper()
	var found []tracing
	for _, s := range all {
		if s.Tags["span.kind"] == kind && s.Op == op {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d %s spans called %q among %+v", len(found), kind, op, all)
	}
	return found[0]
}
