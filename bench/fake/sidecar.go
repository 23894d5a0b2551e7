package fake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// rightAnswers is how many requests Turning answers right: more than any proof sends.
const rightAnswers = 10

// spans are those that are to be sent.
type spans struct {
	endpoint string
	pending  atomic.Int64
	sending  sync.Mutex
}

// sidecar serves until SIGTERM: a reverse proxy for each --inbound LISTEN=UPSTREAM, and spans as OTLP.
func sidecar(mode Mode, args []string) error {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	s := &spans{endpoint: value(args, "--otlp-endpoint")}
	failed := make(chan error, len(args))
	listeners := 0
	for i, arg := range args {
		if arg != "--inbound" {
			continue
		}
		how := mode
		if listeners++; mode == LyingSecond && listeners == 2 {
			how = Lying
		}
		listen, upstream, ok := strings.Cut(args[i+1], "=")
		if !ok {
			return errors.New("no upstream in " + args[i+1])
		}
		proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: upstream})
		proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 1000}
		go func() { failed <- http.ListenAndServe(listen, s.handler(how, proxy)) }()
	}
	tick := time.NewTicker(20 * time.Millisecond)
	for {
		select {
		case err := <-failed:
			return err
		case <-ended:
			return s.send()
		case <-tick.C:
			_ = s.send() // the collector may be dead
		}
	}
}

// handler passes requests on, as well as the mode lets it.
func (s *spans) handler(mode Mode, proxy http.Handler) http.Handler {
	var requests atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		n := requests.Add(1)
		switch made := int64(1); {
		case mode == Lossy && n%10 == 5:
		case mode == Extra && n%10 == 5:
			made = 2
			fallthrough
		default:
			s.pending.Add(made)
		}
		switch {
		case mode == Turning && n > rightAnswers:
			w.WriteHeader(http.StatusServiceUnavailable)
		case mode == Lying:
			proxy.ServeHTTP(liar{w}, q)
		default:
			proxy.ServeHTTP(w, q)
		}
	})
}

// liar changes every byte of a body.
type liar struct{ http.ResponseWriter }

func (l liar) Write(b []byte) (int, error) {
	changed := bytes.Clone(b)
	for i := range changed {
		changed[i] ^= 1
	}
	return l.ResponseWriter.Write(changed)
}

// send sends what is pending: an ExportTraceServiceRequest with so many empty spans (fields 1, 2, 2 of their messages). What cannot be sent is
// lost.
func (s *spans) send() error {
	s.sending.Lock()
	defer s.sending.Unlock()
	n := s.pending.Swap(0)
	if n == 0 || s.endpoint == "" {
		return nil
	}
	body := message(1, message(2, bytes.Repeat(message(2, nil), int(n))))
	answer, err := http.Post(s.endpoint+"/v1/traces", "application/x-protobuf", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, answer.Body)
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the collector answers %d", answer.StatusCode)
	}
	return nil
}

// message is a protobuf field that holds a message.
func message(field byte, content []byte) []byte {
	b := []byte{field<<3 | 2}
	for n := len(content); ; n >>= 7 {
		if n < 0x80 {
			return append(append(b, byte(n)), content...)
		}
		b = append(b, byte(n)|0x80)
	}
}
