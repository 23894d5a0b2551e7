package sink

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/jaegertracing/jaeger-idl/thrift-gen/jaeger"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// The fuzz targets: whatever a format's own library accepts, counting must accept with the same number, and nothing panics.

func FuzzCountOTLP(f *testing.F) {
	f.Add(otlpPayload(f, 2, 2, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := CountOTLP(b)
		var data trace.TracesData
		if proto.Unmarshal(b, &data) != nil {
			return
		}
		want := 0
		for _, r := range data.ResourceSpans {
			for _, s := range r.ScopeSpans {
				want += len(s.Spans)
			}
		}
		// The library skips deprecated groups, which counting refuses; none of these messages has one.
		if err == nil && got != want {
			t.Errorf("%d, the library reads %d", got, want)
		}
	})
}

func FuzzCountZipkinJSON(f *testing.F) {
	b, err := json.Marshal(zipkinSpans(3))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := CountZipkinJSON(b)
		var spans []map[string]json.RawMessage
		if json.Unmarshal(b, &spans) != nil || spans == nil {
			return
		}
		want := 0
		for _, s := range spans {
			if s != nil { // null is no span
				want++
			}
		}
		if err != nil || got != want {
			t.Errorf("%d, %v; the library reads %d", got, err, want)
		}
	})
}

func FuzzCountJaegerThrift(f *testing.F) {
	f.Add(jaegerPayload(f, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := CountJaegerThrift(b)
		if err != nil {
			return
		}
		buffer := thrift.NewTMemoryBufferLen(len(b))
		if _, err = buffer.Write(b); err != nil {
			t.Fatal(err)
		}
		batch := jaeger.NewBatch()
		if batch.Read(context.Background(), structLists{thrift.NewTBinaryProtocolConf(buffer, nil)}) != nil {
			return // it wants required fields, and the right types in lists, which are not looked at here
		}
		if got < len(batch.Spans) { // a field that comes twice counts twice here, and replaces the first there
			t.Errorf("%d, the library reads %d", got, len(batch.Spans))
		}
	})
}

// structLists refuses a list of anything but structs, which all lists of a batch are of. The library's readers go by what they want the
// elements to be, whatever the list says of its own; what they skip goes past structLists, and there they go by what the list says.
type structLists struct{ *thrift.TBinaryProtocol }

func (p structLists) ReadListBegin(ctx context.Context) (thrift.TType, int, error) {
	kind, size, err := p.TBinaryProtocol.ReadListBegin(ctx)
	if err == nil && kind != thrift.STRUCT {
		err = thrift.NewTProtocolExceptionWithType(thrift.INVALID_DATA, errors.New("a list of "+kind.String()))
	}
	return kind, size, err
}
