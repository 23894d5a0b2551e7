package admin

import (
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// exhausted is a listener that has no descriptor to give for the first tries.
type exhausted struct {
	net.Listener
	tries int
}

func (e *exhausted) Accept() (net.Conn, error) {
	if e.tries > 0 {
		e.tries--
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", unix.EMFILE)}
	}
	return e.Listener.Accept()
}

// TestListenersOutliveAShortage: a process that is out of descriptors answers again when it has some. fasthttp ends its listener at the first
// error, which left a sidecar without health checks until it was started again.
func TestListenersOutliveAShortage(t *testing.T) {
	s, err := New(Config{Admin: "127.0.0.1:0", Relay: fakeRelay, Exports: fakeExports, Ready: func() error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	l := s.listeners[0]
	l.Listener = &exhausted{l.Listener, 3}
	s.Start()
	t.Cleanup(func() { s.Close(t.Context()) })
	client := http.Client{Timeout: 10 * time.Second} // the kernel accepts even where nobody does
	res, err := client.Get("http://" + l.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("answered %d", res.StatusCode)
	}
	if n := l.shortages.Load(); n != 3 {
		t.Errorf("%d pauses, want 3", n)
	}
}

// TestShortageDoesNotOutliveTheServer: a listener that waits for descriptors ends with its server.
func TestShortageDoesNotOutliveTheServer(t *testing.T) {
	s, err := New(Config{Admin: "127.0.0.1:0", Relay: fakeRelay, Exports: fakeExports, Ready: func() error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	l := s.listeners[0]
	l.Listener = &exhausted{l.Listener, 1 << 30}
	s.Start()
	for deadline := time.Now().Add(10 * time.Second); l.shortages.Load() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not wait")
		}
	}
	s.Close(t.Context())
	select {
	case <-s.served:
	case <-time.After(10 * time.Second):
		t.Fatal("it waits on")
	}
}

func TestOtherErrorsOfAcceptAreNoShortage(t *testing.T) {
	for _, err := range []error{nil, net.ErrClosed, syscall.ECONNABORTED, syscall.EBADF} {
		if shortage(err) {
			t.Errorf("%v is called a shortage", err)
		}
	}
}
