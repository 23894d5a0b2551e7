package rig

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/spanwire/spanwire/bench/proc"
)

// sourceAddresses is over how many addresses of 127.0.0.0/8 sessions are spread: each has some 28 000 ports towards one listener.
const sourceAddresses = 8

// openers is how many sessions are opened at a time.
const openers = 64

// Sessions are connections held open that have each served one request.
type Sessions struct{ conns []net.Conn }

// OpenSessions opens n connections to address and gets path on each, right answers only.
func OpenSessions(ctx context.Context, address, path string, n int) (*Sessions, error) {
	s := &Sessions{conns: make([]net.Conn, n)}
	errs := make([]error, openers)
	var wg sync.WaitGroup
	for opener := range openers {
		wg.Go(func() {
			for i := opener; i < n && errs[opener] == nil; i += openers {
				s.conns[i], errs[opener] = openSession(ctx, address, path, i)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// openSession opens the i-th session.
func openSession(ctx context.Context, address, path string, i int) (net.Conn, error) {
	source := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%sourceAddresses))}
	dialer := net.Dialer{Timeout: checkTimeout, LocalAddr: source, KeepAlive: -1}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("session %d: %w", i, err)
	}
	if err := serveOne(conn, address, path); err != nil {
		return nil, errors.Join(fmt.Errorf("session %d: %w", i, err), conn.Close())
	}
	return conn, nil
}

// serveOne exchanges one request and its answer.
func serveOne(conn net.Conn, address, path string) error {
	if err := conn.SetDeadline(time.Now().Add(checkTimeout)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, address); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(conn, 1024), nil)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: status %d", ErrWrong, response.StatusCode)
	}
	return conn.SetDeadline(time.Time{})
}

// Close closes all of them.
func (s *Sessions) Close() {
	for _, conn := range s.conns {
		if conn != nil {
			_ = conn.Close()
		}
	}
}

// Bounds of SettledUsage: memory has settled when it has not changed by more than steadyShare for steadyTime; it is read as it is
// after steadyLimit.
const (
	steadyShare = 0.002
	steadyTime  = 2 * time.Second
	steadyLimit = 15 * time.Second
)

// SettledUsage returns what the process uses once its memory stands still.
func SettledUsage(ctx context.Context, p *proc.Process) (proc.Usage, error) {
	begin := time.Now()
	reference, err := p.Usage()
	since := begin
	for err == nil {
		if err = Sleep(ctx, 100*time.Millisecond); err != nil {
			break
		}
		var now proc.Usage
		if now, err = p.Usage(); err != nil {
			break
		}
		if change := float64(now.RSS-reference.RSS) / float64(reference.RSS); change > steadyShare || change < -steadyShare {
			reference, since = now, time.Now()
		}
		if time.Since(since) > steadyTime || time.Since(begin) > steadyLimit {
			return now, nil
		}
	}
	return proc.Usage{}, err
}
