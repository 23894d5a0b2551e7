package sink

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/openzipkin/zipkin-go/proto/zipkin_proto3"
)

// start starts a sink for the time of the test.
func start(t *testing.T, o Options) *Sink {
	t.Helper()
	o.Listen = "127.0.0.1:0"
	s, err := Start(o)
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

// post sends a payload on a connection of its own.
func post(url, contentType, encoding string, payload []byte) (*http.Response, error) {
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", contentType)
	if encoding != "" {
		request.Header.Set("Content-Encoding", encoding)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Do(request)
	if err == nil {
		_, err = io.Copy(io.Discard, r.Body)
	}
	return r, err
}

const protobuf = "application/x-protobuf"

func TestSink_AnswersAndCountsAsCollectorsDo(t *testing.T) {
	s := start(t, Options{})
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write(otlpPayload(t, 1, 1, 4)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, c := range []struct {
		path, contentType, encoding string
		payload                     []byte
		status                      int
	}{
		{"/v1/traces", protobuf, "", otlpPayload(t, 1, 2, 3), 200},
		{"/v1/traces", protobuf, "gzip", zipped.Bytes(), 200},
		{"/api/v2/spans", "application/json", "", must(json.Marshal(zipkinSpans(5)))(t), 202},
		{"/api/v2/spans", protobuf, "", must(zipkin_proto3.SpanSerializer{}.Serialize(zipkinSpans(2)))(t), 202},
		{"/api/traces?format=jaeger.thrift", "application/x-thrift", "", jaegerPayload(t, 8), 202},
		{"/v1/traces", protobuf, "", []byte("nonsense"), 400},
		{"/v1/traces", "application/json", "", []byte("{}"), 400},
		{"/v1/traces", protobuf, "gzip", []byte("not gzip"), 400},
		{"/v2/other", protobuf, "", nil, 404},
	} {
		r, err := post(s.URL()+c.path, c.contentType, c.encoding, c.payload)
		if err != nil {
			t.Fatal(err)
		}
		if r.StatusCode != c.status {
			t.Errorf("%s %s: %d, want %d", c.path, c.contentType, r.StatusCode, c.status)
		}
		if r.StatusCode < 300 {
			total += len(c.payload)
		}
	}
	want := Counts{Spans: 25, OTLP: 10, Zipkin: 7, Jaeger: 8, Requests: 5, Bytes: int64(total), Malformed: 3, Mode: Healthy}
	if got := s.Counts(); got != want {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	r, err := http.Get(s.URL() + "/count")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	var told Counts
	if err = json.NewDecoder(r.Body).Decode(&told); err != nil || told != want {
		t.Errorf("GET /count: %+v, %v", told, err)
	}
	s.Reset()
	if got := s.Counts(); got != (Counts{Mode: Healthy}) {
		t.Errorf("after a reset: %+v", got)
	}
}

func TestSink_ModesRefuseAndRecover(t *testing.T) {
	s := start(t, Options{Control: "127.0.0.1:0", Delay: 50 * time.Millisecond})
	send := func() (*http.Response, error) {
		return post(s.URL()+"/v1/traces", protobuf, "", otlpPayload(t, 1, 1, 3))
	}
	set := func(mode string) int {
		r, err := post("http://"+s.ControlAddress()+"/mode?set="+mode, "", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode
	}
	for _, c := range []struct {
		mode           string
		status         int
		spans, refused int64
	}{{"healthy", 200, 3, 0}, {"429", 429, 3, 3}, {"500", 500, 3, 6}, {"slow", 200, 6, 6}, {"healthy", 200, 9, 6}} {
		if got := set(c.mode); got != 200 {
			t.Fatalf("set %s: %d", c.mode, got)
		}
		asked := time.Now()
		r, err := send()
		if err != nil {
			t.Fatal(err)
		}
		if slow := time.Since(asked) >= 50*time.Millisecond; c.mode == "slow" && !slow {
			t.Error("slow answered at once")
		}
		if got := s.Counts(); r.StatusCode != c.status || got.Spans != c.spans || got.Refused != c.refused {
			t.Errorf("%s: %d, %+v", c.mode, r.StatusCode, got)
		}
		if after := r.Header.Get("Retry-After"); (after == "1") != (c.status == 429) {
			t.Errorf("%s: Retry-After %q", c.mode, after)
		}
	}
	set("dead")
	if _, err := send(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dead: %v", err)
	}
	set("healthy")
	if r, err := send(); err != nil || r.StatusCode != 200 || s.Counts().Spans != 12 {
		t.Errorf("back again: %v, %+v", err, s.Counts())
	}
	if got := set("happy"); got != 400 {
		t.Errorf("unknown mode: %d", got)
	}
	if err := s.SetMode("happy"); !errors.Is(err, ErrMode) || !strings.Contains(err.Error(), "healthy, slow, dead, 429, 500") {
		t.Error(err)
	}
}

// TestSink_SlowCountsAsSpansArrive: what comes while the sink is slow is counted then, not when its answer would be due.
func TestSink_SlowCountsAsSpansArrive(t *testing.T) {
	s := start(t, Options{Control: "127.0.0.1:0", Mode: Slow, Delay: time.Minute})
	answered := make(chan error, 1)
	go func() {
		response, err := post(s.URL()+"/api/v2/spans", "application/json", "", []byte(`[{},{},{}]`))
		if err == nil {
			_ = response.Body.Close()
		}
		answered <- err
	}()
	for deadline := time.Now().Add(10 * time.Second); s.Counts().Spans != 3; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("counts after 10 s: %+v", s.Counts())
		}
	}
	select {
	case err := <-answered:
		t.Fatalf("a slow sink has answered at once: %v", err)
	default:
	}
	if err := s.SetMode(Dead); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err == nil {
		t.Error("a dead sink has answered")
	}
	if got := s.Counts().Spans; got != 3 {
		t.Errorf("%d spans, want 3", got)
	}
}

func TestSink_DeadResetsStandingConnections(t *testing.T) {
	s := start(t, Options{})
	client := http.Client{}
	send := func() error {
		r, err := client.Post(s.URL()+"/v1/traces", protobuf, bytes.NewReader(nil))
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body)
		}
		return err
	}
	if err := send(); err != nil {
		t.Fatal(err)
	}
	if err := s.SetMode(Dead); err != nil {
		t.Fatal(err)
	}
	if err := send(); err == nil {
		t.Error("a dead sink answers on a connection that stood")
	}
}
