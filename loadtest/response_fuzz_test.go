package loadtest

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// FuzzResponse cuts a stream in two places: what is read may not depend on that. Where one answer is accepted that has no
// interim answers before it, net/http must read the same status and the same number of body bytes.
func FuzzResponse(f *testing.F) {
	for _, c := range answerCases {
		if len(c.stream) < 1000 {
			f.Add(c.stream, uint(len(c.stream)/3), uint(2*len(c.stream)/3), c.noBody)
		}
	}
	f.Fuzz(func(t *testing.T, stream string, first, second uint, noBody bool) {
		if len(stream) == 0 {
			return
		}
		a, b := int(first%uint(len(stream)+1)), int(second%uint(len(stream)+1))
		whole, cut := read(stream, noBody), read(stream, noBody, min(a, b), max(a, b))
		if !same(whole, cut) {
			t.Fatalf("cut at %d and %d: %+v; whole: %+v", a, b, cut, whole)
		}
		if whole.err != nil || len(whole.answers) != 1 {
			return
		}
		var r response
		r.reset()
		n, done, err := r.feed([]byte(stream), noBody)
		if err != nil || !done || n != len(stream) || strings.Count(stream, "HTTP/1.") != 1 {
			return
		}
		method := http.MethodGet
		if noBody {
			method = http.MethodHead
		}
		compareWithNetHTTP(t, stream, method, &r)
	})
}

// compareWithNetHTTP reads the stream with the standard library.
func compareWithNetHTTP(t *testing.T, stream, method string, r *response) {
	reader := bufio.NewReader(strings.NewReader(stream))
	theirs, err := http.ReadResponse(reader, &http.Request{Method: method})
	if err != nil {
		return // it refuses field values that this reader has no need to look at
	}
	body, err := io.ReadAll(theirs.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return
	}
	if theirs.StatusCode != r.status || int64(len(body)) != r.bodyBytes {
		t.Fatalf("%q: status %d, body %d; net/http: %d, %d (%v)", stream, r.status, r.bodyBytes, theirs.StatusCode, len(body), err)
	}
}
