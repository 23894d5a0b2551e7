package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/loadtest"
)

// start starts a server for the time of the test.
func start(t *testing.T, o Options) *HTTP {
	t.Helper()
	s, err := StartHTTP("127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// get fetches a URL on a connection of its own.
func get(t *testing.T, url string) (*http.Response, []byte) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, body
}

func TestHTTP_SaysLengthAndHashOfItsBodies(t *testing.T) {
	for _, o := range []Options{
		{BodySize: Size{5000, 5000}}, {BodySize: Size{10, 5000}}, {}, {BodySize: Size{5000, 5000}, Chunked: true, ChunkSize: 999},
	} {
		r, body := get(t, start(t, o).URL())
		sum, ok := loadtest.ParseBodyHash([]byte(r.Header.Get(loadtest.HeaderBodyHash)))
		if r.StatusCode != 200 || !ok || sum != loadtest.UpdateBodyHash(0, body) || len(body) < o.BodySize.Min || len(body) > o.BodySize.Max {
			t.Errorf("%+v: %d, %d bytes, headers %v", o, r.StatusCode, len(body), r.Header)
		}
		chunked := fmt.Sprint(r.TransferEncoding) == "[chunked]"
		if chunked != o.Chunked || (chunked && r.Header.Get(loadtest.HeaderBodyLength) != fmt.Sprint(len(body))) {
			t.Errorf("%+v: coding %v, headers %v", o, r.TransferEncoding, r.Header)
		}
	}
}

func TestHTTP_VerifiesWhatItReceives(t *testing.T) {
	s := start(t, Options{})
	post := func(hash string) int {
		request, err := http.NewRequest(http.MethodPost, s.URL()+PathEcho, strings.NewReader("123456789"))
		if err != nil {
			t.Fatal(err)
		}
		if hash != "" {
			request.Header.Set(loadtest.HeaderBodyHash, hash)
		}
		r, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Body.Close() }()
		if body, _ := io.ReadAll(r.Body); r.StatusCode == 200 && string(body) != "123456789" {
			t.Errorf("echo %q", body)
		}
		return r.StatusCode
	}
	if a, b, c := post("crc32c=e3069283"), post("crc32c=e3069284"), post(""); a != 200 || b != 422 || c != 200 {
		t.Errorf("right %d, wrong %d, not told %d", a, b, c)
	}
	_, body := get(t, s.URL()+PathStats)
	var stats Stats
	if err := json.Unmarshal(body, &stats); err != nil {
		t.Fatal(err)
	}
	if want := (Stats{Requests: 3, BodyBytes: 27, Verified: 1, Mismatched: 1}); stats != want || s.Stats() != want {
		t.Errorf("%+v, want %+v", stats, want)
	}
}

func TestHTTP_SeedDecidesFaults(t *testing.T) {
	faults := func(seed uint64) (seen string) {
		s := start(t, Options{ErrorRate: 0.3, ErrorStatus: 503, BodySize: Size{0, 1000}, Seed: seed})
		for range 40 {
			r, body := get(t, s.URL())
			seen += fmt.Sprint(r.StatusCode, len(body), " ")
		}
		return seen
	}
	a, b := faults(1), faults(1)
	if a != b {
		t.Errorf("equal seeds: %s and %s", a, b)
	}
	if a == faults(2) || !strings.Contains(a, "503") || !strings.Contains(a, "200") {
		t.Errorf("faults %s", a)
	}
}

func TestHTTP_ResetsBeforeAndWithinAnswers(t *testing.T) {
	s := start(t, Options{ResetRate: 1})
	before, within := 0, 0
	for range 40 {
		conn, err := net.Dial("tcp", s.Address())
		if err != nil {
			t.Fatal(err)
		}
		if _, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(conn)
		if err == nil {
			t.Fatalf("closed in good order after %q", got)
		}
		if len(got) == 0 {
			before++
		} else {
			within++
		}
		_ = conn.Close()
	}
	// The part of an answer may be lost to the reset behind it, so the split is not asserted beyond "both occur".
	if before == 0 || within == 0 || s.Stats().Resets != 40 {
		t.Errorf("%d before, %d within, %+v", before, within, s.Stats())
	}
}

func TestHTTP_PauseHoldsAnswersBack(t *testing.T) {
	const pause, every = 150 * time.Millisecond, 300 * time.Millisecond
	s := start(t, Options{Pause: pause, PauseEvery: every})
	longest := time.Duration(0)
	for begin := time.Now(); time.Since(begin) < 2*every; {
		asked := time.Now()
		get(t, s.URL())
		longest = max(longest, time.Since(asked))
	}
	if longest < pause*3/4 {
		t.Errorf("over two periods no answer took longer than %v", longest)
	}
}

func TestHTTP_EventsCarryTheirTime(t *testing.T) {
	s := start(t, Options{Events: 3, EventInterval: 5 * time.Millisecond})
	asked := time.Now()
	r, body := get(t, s.URL()+PathEvents)
	events := strings.Split(strings.TrimSuffix(string(body), "\n\n"), "\n\n")
	if r.Header.Get("Content-Type") != "text/event-stream" || len(events) != 3 {
		t.Fatalf("%v, %q", r.Header, body)
	}
	last := asked.UnixNano()
	for _, e := range events {
		var sent int64
		if _, err := fmt.Sscanf(e, "data: %d", &sent); err != nil || sent < last+int64(4*time.Millisecond) {
			t.Errorf("event %q after %d: %v", e, last, err)
		}
		last = sent
	}
}

func TestOptions_ValidateNamesFlagValueAndAllowed(t *testing.T) {
	for flag, o := range map[string]Options{
		"--pause":        {Pause: time.Second},
		"--error-rate":   {ErrorRate: 1.5},
		"--reset-rate":   {ResetRate: -1},
		"--error-status": {ErrorStatus: 99},
		"--chunk-size":   {ChunkSize: -1},
		"--events":       {Events: -1},
	} {
		if _, err := StartHTTP("127.0.0.1:0", o); !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), flag) ||
			!strings.Contains(err.Error(), "allowed") {
			t.Errorf("%s: %v", flag, err)
		}
	}
}
