package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spanwire/spanwire/loadtest"
	"github.com/spanwire/spanwire/loadtest/server"
)

// Exchange is a request as a measurement sends it, and what must come back: the proof that what is measured works.
type Exchange struct {
	Method, Path string
	Headers      []loadtest.Header
	// Body is what is sent. Upstream, host:port of a `spanload serve` behind, is asked whether it came whole; empty = not asked.
	Body     []byte
	Upstream string
	// Answer is the body that must come back, byte by byte. Hashed: the answer must also say its hash, and say it right.
	Answer []byte
	Hashed bool
	// Events, when not 0, is how many server-sent events the answer must be, in place of Answer.
	Events int
	// Echo: Body is a message over TCP, which must come back.
	Echo bool
}

// Prove sends the request to address and compares what comes back. Its error wraps ErrWrong when something came that is not right.
func (x Exchange) Prove(ctx context.Context, address string) error {
	if x.Echo {
		return proveEcho(ctx, address, x.Body)
	}
	before, err := x.received(ctx)
	if err != nil {
		return err
	}
	sent := time.Now()
	body, header, err := x.fetch(ctx, address)
	if err != nil {
		return err
	}
	if x.Events > 0 {
		err = checkEvents(body, x.Events, sent, time.Now())
	} else {
		err = x.checkBody(body, header)
	}
	if err != nil {
		return fmt.Errorf("%s %s%s: %w: %w", x.Method, address, x.Path, ErrWrong, err)
	}
	after, err := x.received(ctx)
	if err != nil {
		return err
	}
	if x.Upstream != "" && (after.Verified-before.Verified != 1 || after.BodyBytes-before.BodyBytes != int64(len(x.Body))) {
		return fmt.Errorf("%s %s%s: %w: the server has received %d bytes of body with a right hash %d times, not %d once", x.Method, address, x.Path,
			ErrWrong, after.BodyBytes-before.BodyBytes, after.Verified-before.Verified, len(x.Body))
	}
	return nil
}

// checkTimeout bounds one exchange that proves or asks something.
const checkTimeout = 5 * time.Second

// fetch sends the request on a connection of its own.
func (x Exchange) fetch(ctx context.Context, address string) ([]byte, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, x.Method, "http://"+address+x.Path, bytes.NewReader(x.Body))
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s%s: %w", x.Method, address, x.Path, err)
	}
	for _, h := range x.Headers {
		request.Header.Add(h.Name, h.Value)
	}
	if len(x.Body) > 0 {
		request.Header.Set(loadtest.HeaderBodyHash, string(loadtest.AppendBodyHash(nil, loadtest.UpdateBodyHash(0, x.Body))))
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil { // it ended before its length: what came is not right
		return nil, nil, fmt.Errorf("%s %s%s: %w: %w", x.Method, address, x.Path, ErrWrong, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s %s%s: %w: status %d", x.Method, address, x.Path, ErrWrong, response.StatusCode)
	}
	return body, response.Header, nil
}

// checkBody compares an answer.
func (x Exchange) checkBody(body []byte, header http.Header) error {
	if len(body) != len(x.Answer) {
		return fmt.Errorf("a body of %d bytes, not %d", len(body), len(x.Answer))
	}
	if !bytes.Equal(body, x.Answer) {
		return fmt.Errorf("a body of %d bytes, as expected, but others", len(body))
	}
	if !x.Hashed {
		return nil
	}
	switch want, told := loadtest.ParseBodyHash([]byte(header.Get(loadtest.HeaderBodyHash))); {
	case !told:
		return errors.New("no " + loadtest.HeaderBodyHash + " header")
	case loadtest.UpdateBodyHash(0, body) != want:
		return fmt.Errorf("a body of %d bytes with another hash than told", len(body))
	}
	return nil
}

// received asks the server behind what it has received; nothing when it is not to be asked.
func (x Exchange) received(ctx context.Context) (stats server.Stats, err error) {
	if x.Upstream == "" {
		return stats, nil
	}
	body, err := get(ctx, http.MethodGet, x.Upstream, server.PathStats)
	if err != nil {
		return stats, err
	}
	if err := json.Unmarshal(body, &stats); err != nil {
		return stats, fmt.Errorf("statistics of %s: %w: %w", x.Upstream, ErrOutput, err)
	}
	return stats, nil
}

// checkEvents wants exactly so many events of the load test's server, each whole, in order, and sent within the exchange.
func checkEvents(body []byte, want int, from, until time.Time) error {
	events := bytes.SplitAfter(body, []byte("\n\n"))
	if last := events[len(events)-1]; len(last) > 0 {
		return fmt.Errorf("the stream ends within an event: %q", last)
	}
	events = events[:len(events)-1]
	if len(events) != want {
		return fmt.Errorf("%d events, not %d", len(events), want)
	}
	last := from.UnixNano()
	for i, event := range events {
		stamp, _ := bytes.CutPrefix(bytes.TrimSuffix(event, []byte("\n\n")), []byte("data: "))
		at, err := strconv.ParseInt(string(stamp), 10, 64)
		if err != nil || !bytes.Equal(event, loadtest.AppendEvent(nil, time.Unix(0, at))) {
			return fmt.Errorf("event %d of %d is %q", i+1, want, event)
		}
		if at < last || at > until.UnixNano() {
			return fmt.Errorf("event %d of %d was not sent after the one before it and before now: %q", i+1, want, event)
		}
		last = at
	}
	return nil
}

// proveEcho sends a message over TCP; a goroutine of its own writes, since the two sides may hold less than all of it.
func proveEcho(ctx context.Context, address string, message []byte) error {
	dialer := net.Dialer{Timeout: checkTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(checkTimeout)); err != nil {
		return fmt.Errorf("echo at %s: %w", address, err)
	}
	written := make(chan error, 1)
	go func() {
		_, err := conn.Write(message)
		written <- err
	}()
	got := make([]byte, len(message))
	if n, err := io.ReadFull(conn, got); err != nil {
		return fmt.Errorf("echo at %s: %w: %d of %d bytes: %w", address, ErrWrong, n, len(message), err)
	}
	if err := <-written; err != nil {
		return fmt.Errorf("echo at %s: %w", address, err)
	}
	if !bytes.Equal(got, message) {
		return fmt.Errorf("echo at %s: %w: other bytes", address, ErrWrong)
	}
	return nil
}
