package trace

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/parsers"
)

// fixture drives one Tracer with requests written as text.
type fixture struct {
	tb   testing.TB
	t    *Tracer
	mono int64
}

func newShared(tb testing.TB, c Config) *Shared {
	tb.Helper()
	s, err := NewShared(c)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func newFixture(tb testing.TB, c Config) *fixture {
	return &fixture{tb: tb, t: newShared(tb, c).NewTracer(), mono: 1}
}

// request parses a head in a simple way: lines end with \n, and become \r\n.
func request(kind span.Kind, text string) *Request {
	text = strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\r\n") + "\r\n\r\n"
	at := func(lo, hi int) parsers.Range { return parsers.Range{Lo: uint32(lo), Hi: uint32(hi)} }
	h := &parsers.Head{Range: at(0, len(text)), Insert: uint32(len(text) - 2), Minor: 1}
	lo := 0
	for i, line := range strings.SplitAfter(text[:len(text)-2], "\r\n") {
		hi := lo + len(line)
		switch {
		case line == "":
		case i == 0:
			parts := strings.Fields(line)
			h.Method = at(0, len(parts[0]))
			h.Target = at(len(parts[0])+1, len(parts[0])+1+len(parts[1]))
			p, q := h.Target, strings.IndexByte(parts[1], '?')
			if q >= 0 {
				p.Hi = p.Lo + uint32(q)
				h.Query = at(int(p.Hi)+1, int(h.Target.Hi))
			}
			h.Path = p
		default:
			colon := strings.IndexByte(line, ':')
			v := strings.Trim(line[colon+1:], " \t\r\n") // not the white space of Unicode
			vlo := lo + colon + 1 + strings.Index(line[colon+1:], v)
			f := parsers.Field{Line: at(lo, hi), Name: at(lo, lo+colon), Value: at(vlo, vlo+len(v))}
			h.Fields = append(h.Fields, f)
			if strings.EqualFold(line[:colon], "host") {
				h.Authority = f.Value
			}
		}
		lo = hi
	}
	return &Request{Data: []byte(text), Head: h, Protocol: "http", Kind: kind, Wall: 1700000000e9}
}

// begin runs Begin and returns the span and the head as it leaves.
func (f *fixture) begin(r *Request) (*Active, string) {
	f.tb.Helper()
	a, e := new(Active), new(Edit)
	f.mono++
	r.Mono = f.mono
	f.t.Begin(a, r, e)
	return a, apply(f.tb, r, e)
}

// end runs End a nanosecond later.
func (f *fixture) end(a *Active) {
	f.mono++
	f.t.End(a, f.mono)
}

// apply returns the head with the edit, checking that only whole lines of the head are deleted, in order.
func apply(tb testing.TB, r *Request, e *Edit) string {
	tb.Helper()
	var out strings.Builder
	at := uint32(0)
	for _, d := range e.Delete {
		ok := false
		for _, f := range r.Head.Fields {
			ok = ok || f.Line == d
		}
		if !ok || d.Lo < at {
			tb.Fatalf("edit deletes %v, which is no header line behind %d", d, at)
		}
		out.Write(r.Data[at:d.Lo])
		at = d.Hi
	}
	out.Write(r.Data[at:r.Head.Insert])
	if len(e.Insert) > 0 && !strings.HasSuffix(string(e.Insert), "\r\n") {
		tb.Fatalf("edit inserts %q, which does not end a line", e.Insert)
	}
	out.Write(e.Insert)
	out.Write(r.Data[r.Head.Insert:])
	return out.String()
}

// values returns the values of all lines of a name.
func values(head, name string) (vs []string) {
	for line := range strings.SplitSeq(head, "\r\n") {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			vs = append(vs, strings.TrimSpace(v))
		}
	}
	return vs
}

// endpoint converts address:port.
func endpoint(text string) span.Endpoint { return span.EndpointFrom(netip.MustParseAddrPort(text)) }
