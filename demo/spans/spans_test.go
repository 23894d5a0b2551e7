package spans

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/openzipkin/zipkin-go/model"
)

// at is when the spans of these tests start.
var at = time.Unix(1_700_000_000, 0)

// span builds a span of trace t.
func span(id, parent, kind, service, name, status string) Span {
	return Span{TraceID: "t", ID: id, ParentID: parent, Kind: kind, Service: service, Name: name, Start: at,
		Duration: time.Millisecond, Tags: map[string]string{"http.response.status_code": status}}
}

func TestTreeRefusesWhatIsNotOneTree(t *testing.T) {
	root := span("1", "", Server, "a", "GET /", "200")
	child := span("2", "1", Client, "a", "GET /b", "200")
	for _, c := range []struct {
		name  string
		trace []Span
		want  error
	}{
		{"root and child", []Span{child, root}, nil},
		{"nothing", nil, ErrNoRoot},
		{"child without its parent", []Span{root, span("3", "9", Client, "a", "x", "")}, ErrOrphan},
		{"two roots", []Span{root, span("3", "", Server, "b", "x", "")}, ErrRoots},
		{"one id twice", []Span{root, child, child}, ErrDuplicate},
		{"a circle beside the root", []Span{root, span("3", "4", Client, "a", "x", ""), span("4", "3", Server, "b", "x", "")}, ErrDetached},
		{"only a circle", []Span{span("3", "4", Client, "a", "x", ""), span("4", "3", Server, "b", "x", "")}, ErrNoRoot},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Tree(c.trace); !errors.Is(err, c.want) {
				t.Errorf("Tree = %v, want %v", err, c.want)
			}
		})
	}
}

func TestOutlineIsOneForEqualTrees(t *testing.T) {
	failed := span("4", "2", Client, "b", "POST /x", "503")
	failed.Tags["error"] = "503"
	trace := []Span{
		span("1", "", Server, "a", "GET /", "200"),
		span("2", "1", Server, "b", "GET /b", "200"),
		span("3", "2", Client, "b", "GET /y", "200"),
		failed,
		span("5", "1", Client, "a", "GET /a", "200"),
	}
	const want = `server a get / 200
  client a get /a 200
  server b get /b 200
    client b get /y 200
    client b post /x 503 error
`
	for turn := range trace {
		n, err := Tree(append(trace[turn:len(trace):len(trace)], trace[:turn]...))
		if err != nil {
			t.Fatal(err)
		}
		if got := n.Outline(); got != want {
			t.Errorf("order %d:\n%s\nwant:\n%s", turn, got, want)
		}
	}
}

func TestFromZipkin(t *testing.T) {
	var m model.SpanModel
	err := json.Unmarshal([]byte(`{"traceId":"000000000000000000000000000000ab","id":"0c","parentId":"0d","kind":"CLIENT","name":"get /",
		"timestamp":1700000000000001,"duration":1500,"localEndpoint":{"serviceName":"cart"},"tags":{"http.status_code":"404","error":"404"}}`), &m)
	if err != nil {
		t.Fatal(err)
	}
	s := FromZipkin(m)
	if s.TraceID != strings.Repeat("0", 30)+"ab" || s.ID != "000000000000000c" || s.ParentID != "000000000000000d" {
		t.Errorf("ids %s %s %s", s.TraceID, s.ID, s.ParentID)
	}
	if s.Kind != Client || s.Service != "cart" || s.Status() != "404" || s.Error() != "404" {
		t.Errorf("span %+v", s)
	}
	if !s.Start.Equal(at.Add(time.Microsecond)) || s.Duration != 1500*time.Microsecond {
		t.Errorf("times %v %v", s.Start, s.Duration)
	}
}

func TestDiffFindsEveryDifference(t *testing.T) {
	base := span("1", "0", Client, "a", "GET /", "200")
	for _, c := range []struct {
		name   string
		change func(*Span)
		want   string
	}{
		{"parent", func(s *Span) { s.ParentID = "7" }, "parent: sent 0, got 7"},
		{"kind", func(s *Span) { s.Kind = Server }, "kind: sent client, got server"},
		{"service", func(s *Span) { s.Service = "b" }, "service: sent a, got b"},
		{"operation", func(s *Span) { s.Name = "PUT /" }, "operation: sent GET /, got PUT /"},
		{"start", func(s *Span) { s.Start = at.Add(2 * time.Microsecond) }, "start: "},
		{"duration", func(s *Span) { s.Duration += 2 * time.Microsecond }, "duration: sent 1ms, got 1.002ms"},
		{"error", func(s *Span) { s.Tags["error"] = "true" }, "error: "},
		{"tag", func(s *Span) { s.Tags["http.response.status_code"] = "201" }, `tag http.response.status_code: sent "200", got "201"`},
		{"tag gone", func(s *Span) { delete(s.Tags, "http.response.status_code") }, "is missing"},
		{"tag new", func(s *Span) { s.Tags["x"] = "y" }, `tag x="y" was never sent`},
		{"span gone", func(s *Span) { s.TraceID = "u" }, "is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := base
			got.Tags = maps.Clone(base.Tags)
			c.change(&got)
			lines := Diff([]Span{base}, []Span{got})
			if len(lines) == 0 || !strings.Contains(lines[0], c.want) {
				t.Errorf("Diff = %q, want %q", lines, c.want)
			}
		})
	}
	same := base
	same.Name, same.Start = "get /", at.Add(900*time.Nanosecond)
	if lines := Diff([]Span{base}, []Span{same}); len(lines) != 0 {
		t.Errorf("spans equal but for case and resolution differ: %q", lines)
	}
	if lines := Diff([]Span{base}, []Span{base, base}); len(lines) != 1 {
		t.Errorf("a span that came back twice: %q", lines)
	}
}
