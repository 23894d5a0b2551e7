package exporters

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// udpSender sends each batch as one packet. Delivered means handed to the kernel: nobody answers.
type udpSender struct {
	addr    string // host:port
	timeout time.Duration
	ctx     context.Context // ends with Abort
	cancel  context.CancelFunc

	mu     sync.Mutex
	conn   net.Conn
	dialed time.Time
}

// newUDPSender returns a sender to addr, resolved with the first packet.
func newUDPSender(addr string, timeout time.Duration) *udpSender {
	s := &udpSender{addr: addr, timeout: timeout}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Abort implements Sender.
func (s *udpSender) Abort() {
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hangUp()
}

// Send implements Sender.
func (s *udpSender) Send(payload []byte, _ int) Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.write(payload)
	if errors.Is(err, syscall.ECONNREFUSED) {
		// That is the answer to a packet before this one (man 7 udp); this one was not sent yet.
		err = s.write(payload)
	}
	switch {
	case err == nil:
		return Result{Outcome: Delivered}
	case s.ctx.Err() != nil:
		return Result{Outcome: Retry, Failure: FailConnect, Err: errAborted}
	case errors.Is(err, syscall.EMSGSIZE):
		return Result{Outcome: Refused, Failure: FailWrite, Err: err, Reason: ReasonEncode}
	}
	s.hangUp() // resolve again
	return Result{Outcome: Retry, Failure: classify(err), Err: err}
}

// write sends a packet, over a socket whose address is at most resolveEvery old. The lock is held.
func (s *udpSender) write(payload []byte) error {
	if s.conn != nil && time.Since(s.dialed) > resolveEvery {
		s.hangUp()
	}
	if s.conn == nil {
		ctx, cancel := context.WithTimeout(s.ctx, s.timeout)
		defer cancel()
		conn, err := (&net.Dialer{}).DialContext(ctx, "udp", s.addr)
		if err != nil {
			return err
		}
		s.conn, s.dialed = conn, time.Now()
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
		return err
	}
	_, err := s.conn.Write(payload)
	return err
}

// hangUp closes the socket. The lock is held.
func (s *udpSender) hangUp() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}
