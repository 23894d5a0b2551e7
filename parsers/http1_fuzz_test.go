package parsers_test

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/smuggling"
	"github.com/spanwire/spanwire/parsers"
	"github.com/spanwire/spanwire/parsers/parsertest"
)

// maxFuzzBytes keeps one input fast; the limits of heads are golden cases.
const maxFuzzBytes = 16 << 10

// FuzzRequests feeds one stream of requests in two segmentations.
func FuzzRequests(f *testing.F) {
	for _, c := range startingPoints(f) {
		f.Add(joined(c.steps, parsers.ClientToServer), uint16(7))
	}
	f.Fuzz(func(t *testing.T, data []byte, cut uint16) {
		compareSplits(t, []parsertest.Step{
			{Dir: parsers.ClientToServer, Data: data}, {Dir: parsers.ClientToServer, End: true},
		}, cut)
	})
}

// FuzzResponses feeds one stream of responses, to a GET, a HEAD, a POST whose body has not come, and a request with Upgrade.
func FuzzResponses(f *testing.F) {
	for _, c := range startingPoints(f) {
		f.Add(joined(c.steps, parsers.ServerToClient), uint16(7), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, cut uint16, reset bool) {
		requests := "GET / HTTP/1.1\r\nHost: h\r\n\r\nHEAD / HTTP/1.1\r\nHost: h\r\n\r\n" +
			"POST / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
		compareSplits(t, []parsertest.Step{
			{Dir: parsers.ClientToServer, Data: []byte(requests)}, {Dir: parsers.ServerToClient, Data: data},
			{Dir: parsers.ServerToClient, End: true, Reset: reset},
		}, cut)
	})
}

// FuzzDialogue plays both directions. plan says who speaks next and how much: the low bit is the direction, the rest the number of bytes;
// a zero ends the direction that spoke last.
func FuzzDialogue(f *testing.F) {
	for _, c := range startingPoints(f) {
		f.Add(joined(c.steps, parsers.ClientToServer), joined(c.steps, parsers.ServerToClient), plan(c.steps), uint16(3))
	}
	f.Fuzz(func(t *testing.T, client, server, plan []byte, cut uint16) {
		data := [2][]byte{client, server}
		var steps []parsertest.Step
		ended := [2]bool{}
		last := parsers.ClientToServer
		for _, b := range plan {
			if b == 0 {
				if !ended[last] {
					steps = append(steps, parsertest.Step{Dir: last, End: true})
				}
				ended[last] = true
				continue
			}
			last = parsers.Direction(b & 1)
			n := min(int(b>>1), len(data[last]))
			if ended[last] || n == 0 {
				continue
			}
			steps = append(steps, parsertest.Step{Dir: last, Data: data[last][:n]})
			data[last] = data[last][n:]
		}
		compareSplits(t, steps, cut)
	})
}

// compareSplits plays steps as they are, byte by byte, and with each step cut in two, and wants the same events.
func compareSplits(t *testing.T, steps []parsertest.Step, cut uint16) {
	size := 0
	for _, s := range steps {
		size += len(s.Data)
	}
	if size > maxFuzzBytes {
		return
	}
	table := parsers.Table()
	want, err := parsertest.Replay(table, steps)
	if err != nil {
		t.Fatalf("whole: %v after\n%s", err, strings.Join(want, "\n"))
	}
	halves := steps
	for i := len(steps) - 1; i >= 0; i-- {
		if n := len(steps[i].Data); n > 1 {
			halves = splitAt(halves, i, 1+int(cut)%(n-1))
		}
	}
	for how, split := range map[string][]parsertest.Step{"byte by byte": pieces(steps, 1), "cut": halves} {
		got, err := parsertest.Replay(table, split)
		if err != nil {
			t.Fatalf("%s: %v after\n%s", how, err, strings.Join(got, "\n"))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s:\n%s\nwhole:\n%s", how, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// FuzzDifferentialRequest holds what is framed and may be edited against net/http: the same request, the same end.
func FuzzDifferentialRequest(f *testing.F) {
	for _, c := range startingPoints(f) {
		f.Add(joined(c.steps, parsers.ClientToServer))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		events := observe(parsers.ClientToServer, "", data)
		if len(events) < 2 || events[1].Kind != parsers.RequestEnd || events[0].Reason != parsers.ReasonNone {
			return
		}
		start, end := &events[0], &events[1]
		src := bufio.NewReader(bytes.NewReader(data[start.At:])) // net/http takes no empty lines before a request
		req, err := http.ReadRequest(src)
		if err != nil {
			if stricter(err) {
				return
			}
			t.Fatalf("net/http: %v", err)
		}
		h := &start.Head
		if req.Method != string(h.Method.In(data)) || req.RequestURI != string(h.Target.In(data)) {
			t.Fatalf("net/http: %s %s, here %s %s", req.Method, req.RequestURI, h.Method.In(data), h.Target.In(data))
		}
		compareFields(t, data, h.Fields, req.Header)
		compareBody(t, req.Body, src, data[start.At:], end)
	})
}

// stricter reports whether net/http refused what does not matter to where the message ends: the target, which it parses as a URL, or a Trailer that names
// a framing field (RFC 9110 §6.5.1 forbids to send that, and what stands in trailers frames nothing).
func stricter(err error) bool {
	return strings.HasPrefix(err.Error(), "parse ") || strings.Contains(err.Error(), "invalid URI") || badTrailer(err)
}

func badTrailer(err error) bool { return strings.HasPrefix(err.Error(), "bad trailer key") }

// FuzzDifferentialResponse is the same for the response to a GET.
func FuzzDifferentialResponse(f *testing.F) {
	for _, c := range startingPoints(f) {
		f.Add(joined(c.steps, parsers.ServerToClient), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, head bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		events := observe(parsers.ServerToClient, method+" / HTTP/1.1\r\nHost: h\r\n\r\n", data)
		if len(events) < 2 || events[1].Kind != parsers.ResponseEnd || events[1].Truncated ||
			events[0].Reason != parsers.ReasonNone || events[0].Kind != parsers.ResponseStart {
			return
		}
		start, end := &events[0], &events[1]
		src := bufio.NewReader(bytes.NewReader(data))
		resp, err := http.ReadResponse(src, &http.Request{Method: method})
		if err != nil {
			// net/http knows no coding but a lone chunked, and reads the fields before it asks whether there is a body.
			if strings.Contains(err.Error(), "unsupported transfer encoding") || strings.Contains(err.Error(), "too many transfer encodings") ||
				badTrailer(err) || !bodyAllowed(method, start.Head.Status) && strings.Contains(err.Error(), "Content-Length") {
				return
			}
			t.Fatalf("net/http: %v", err)
		}
		if resp.StatusCode != int(start.Head.Status) {
			t.Fatalf("net/http: status %d, here %d", resp.StatusCode, start.Head.Status)
		}
		compareFields(t, data, start.Head.Fields, resp.Header)
		compareBody(t, resp.Body, src, data, end)
	})
}

// bodyAllowed reports whether the answer to method may have a body.
func bodyAllowed(method string, status uint16) bool {
	return method != "HEAD" && status != 204 && status != 304
}

// observe returns the events of data in dir; request, when not empty, was asked before. Server data end with a FIN.
func observe(dir parsers.Direction, request string, data []byte) []parsers.Event {
	if len(data) > maxFuzzBytes || len(data) == 0 {
		return nil
	}
	var stream parsers.Stream
	for _, row := range parsers.Table() {
		if row.Name == "http1" {
			stream = row.New()
		}
	}
	var out parsers.Output
	if request != "" {
		stream.Feed(parsers.ClientToServer, []byte(request), &out)
		out.Reset()
	}
	stream.Feed(dir, data, &out)
	if n := len(out.Events); n > 0 && out.Events[n-1].Kind == parsers.ResponseStart {
		at := len(data)
		stream.Close(dir, true, &out)
		out.Events[n].At = uint32(at)
	}
	return out.Events
}

// compareFields compares the header lines, but for those that net/http takes out of the header or adds to it.
func compareFields(t *testing.T, data []byte, fields []parsers.Field, theirs http.Header) {
	ours := http.Header{}
	for _, f := range fields {
		ours.Add(string(f.Name.In(data)), string(f.Value.In(data)))
	}
	for _, name := range []string{"Host", "Transfer-Encoding", "Content-Length", "Trailer", "Connection"} {
		ours.Del(name)
		theirs.Del(name)
	}
	if ours.Get("Pragma") == "no-cache" && ours.Values("Cache-Control") == nil {
		theirs.Del("Cache-Control")
	}
	if !maps.EqualFunc(ours, theirs, slices.Equal) {
		t.Fatalf("net/http: %q, here %q", theirs, ours)
	}
}

// spacedExtension is a chunk line with the white space before its extension that RFC 9112 §7.1.1 has recipients take, and net/http refuses.
var spacedExtension = regexp.MustCompile(`\n[0-9A-Fa-f]+[ \t]+;`)

// compareBody reads the body of data, a message, as net/http frames it and compares where it ends.
func compareBody(t *testing.T, body io.Reader, src *bufio.Reader, data []byte, end *parsers.Event) {
	if _, err := io.Copy(io.Discard, body); err != nil {
		// It refuses chunks that are mostly overhead, and lines and trailers that do not fit its buffer.
		for _, limit := range []string{"too much non-data", "line too long", "suspiciously long trailer"} {
			if strings.Contains(err.Error(), limit) {
				return
			}
		}
		if strings.Contains(err.Error(), "invalid byte in chunk length") && spacedExtension.Match(data) {
			return
		}
		t.Fatalf("net/http: body: %v", err)
	}
	rest, err := io.ReadAll(src)
	if err != nil {
		t.Fatal(err)
	}
	if used := len(data) - len(rest); int64(used) != end.Bytes {
		t.Fatalf("net/http: %d bytes, here %d", used, end.Bytes)
	}
}

// startingPoints returns every golden case and every desync vector that is small enough to start from.
func startingPoints(f *testing.F) []goldenCase {
	var cases []goldenCase
	add := func(c goldenCase) {
		if size := len(joined(c.steps, 0)) + len(joined(c.steps, 1)); size < 4096 {
			cases = append(cases, c)
		}
	}
	for _, file := range goldenFiles(f) {
		for _, c := range readGolden(f, file) {
			add(c)
		}
	}
	vectors, err := smuggling.All()
	if err != nil {
		f.Fatal(err)
	}
	for i := range vectors {
		add(goldenCase{name: vectors[i].Name, steps: vectorSteps(&vectors[i])})
	}
	return cases
}

// joined returns all that is sent in a direction.
func joined(steps []parsertest.Step, dir parsers.Direction) []byte {
	var out []byte
	for _, s := range steps {
		if s.Dir == dir {
			out = append(out, s.Data...)
		}
	}
	return out
}

// plan writes the order of steps as FuzzDialogue reads it.
func plan(steps []parsertest.Step) []byte {
	var out []byte
	for _, s := range steps {
		if s.End {
			out = append(out, 0)
		}
		for n := len(s.Data); n > 0; n -= 127 {
			out = append(out, byte(min(n, 127))<<1|byte(s.Dir))
		}
	}
	return out
}
