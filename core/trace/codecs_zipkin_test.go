//go:build zipkingo

package trace

import (
	"testing"

	"github.com/openzipkin/zipkin-go/model"
	"github.com/openzipkin/zipkin-go/propagation/b3"

	"github.com/spanwire/spanwire/core/span"
)

// These tests compare the B3 codecs with zipkin-go's. They stand behind a build tag since that package drags in gRPC, which the
// module does not require otherwise; with it in a copy of go.mod:
//
//	cp go.mod go.sum /tmp && go get -modfile=/tmp/go.mod github.com/openzipkin/zipkin-go/propagation/b3@v0.4.3
//	go test -modfile=/tmp/go.mod -tags zipkingo ./core/trace

func FuzzB3AgainstZipkin(f *testing.F) {
	for _, s := range b3Seeds() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, v []byte) {
		c, ok := parseB3(v)
		theirs, panicked := zipkinSingle(string(v))
		if panicked {
			if ok {
				t.Fatalf("%q is taken; zipkin-go panics on it", v)
			}
			return
		}
		same(t, string(v), c, ok, theirs)
		if ok && !c.trace.IsZero() && c.decision != open {
			out := values(string(appendB3(nil, &c, span.ID{9})), "b3")[0]
			theirs, panicked = zipkinSingle(out)
			if same(t, out, c, true, theirs); panicked || theirs.ParentID == nil || *theirs.ParentID != 9<<56 {
				t.Fatalf("zipkin-go reads %q as %+v", out, theirs)
			}
		}
	})
}

func FuzzB3MultiAgainstZipkin(f *testing.F) {
	f.Add(traceHex, spanHex, "", "1", "")
	f.Add("8448eb211c80319c", spanHex, spanHex, "", "1")
	f.Add("", "", "", "TRUE", "0")
	f.Add(traceHex, "", "", "0", "")
	f.Add("+000000000000001", spanHex, "", "x", "")
	f.Fuzz(func(t *testing.T, trace, id, parent, sampled, flags string) {
		c, ok := parseB3Multi(multiOf([5]string{trace, id, parent, sampled, flags}))
		theirs, err := b3.ParseHeaders(trace, id, parent, sampled, flags)
		if err != nil {
			theirs = nil
		}
		same(t, trace+" "+id+" "+parent+" "+sampled+" "+flags, c, ok, theirs)
	})
}

// zipkinSingle calls zipkin-go, which panics on 33 to 48 hexadecimal digits in one piece.
func zipkinSingle(v string) (sc *model.SpanContext, panicked bool) {
	defer func() {
		if recover() != nil {
			panicked = true
		}
	}()
	sc, err := b3.ParseSingleHeader(v)
	if err != nil {
		return nil, false
	}
	return sc, false
}

// same checks that what we take zipkin-go takes alike. It takes more: ids of other lengths, zero ids, signs.
func same(t *testing.T, in string, c spanContext, ok bool, theirs *model.SpanContext) {
	t.Helper()
	if !ok {
		return
	}
	if theirs == nil {
		t.Fatalf("%q is taken; zipkin-go refuses it", in)
	}
	want := open
	switch {
	case theirs.Debug:
		want = debug
	case theirs.Sampled != nil && *theirs.Sampled:
		want = sample
	case theirs.Sampled != nil:
		want = drop
	}
	var tr span.TraceID
	putTraceID(&tr, theirs.TraceID)
	if tr != c.trace || uint64(theirs.ID) != c.span.Uint64() || want != c.decision {
		t.Fatalf("%q: %+v, zipkin-go %+v", in, c, theirs)
	}
}

func putTraceID(dst *span.TraceID, id model.TraceID) {
	for i := range 8 {
		dst[i] = byte(id.High >> (56 - 8*i))
		dst[8+i] = byte(id.Low >> (56 - 8*i))
	}
}
