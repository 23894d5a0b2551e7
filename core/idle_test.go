package core

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/span"
)

// idleSessions is how many sessions wait at once: 2 descriptors each, of the 20 000 that a process often has.
const idleSessions = 8000

// runIdlePeers is a process that holds both ends of many sessions: it prints the address of its server, reads that of the relay,
// opens connections through it, has one request answered on each, says so, and waits for its input to end.
func runIdlePeers() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	in := bufio.NewReader(os.Stdin)
	addr, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	ends := make([]net.Conn, 0, 2*idleSessions)
	buf := make([]byte, 4096)
	for range idleSessions {
		c, err := net.Dial("tcp", strings.TrimSpace(addr))
		if err != nil {
			return err
		}
		s, err := l.Accept()
		if err != nil {
			return err
		}
		ends = append(ends, c, s)
		if _, err := io.WriteString(c, request); err != nil {
			return err
		}
		for n := 0; n < len(request) || !strings.HasSuffix(string(buf[:n]), "\r\n\r\n"); {
			m, err := s.Read(buf[n:])
			if err != nil {
				return err
			}
			n += m
		}
		if _, err := io.WriteString(s, response); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, buf[:len(response)]); err != nil {
			return err
		}
	}
	fmt.Println("open")
	_, _ = in.ReadString('\n')
	for _, c := range ends {
		_ = c.Close()
	}
	return nil
}

// Thousands of idle sessions that have served a request hold no buffer and start no thread. A read buffer each would take 64
// KiB, a goroutine each 2 KiB at least, for each direction.
func TestIdleSessionsAreCheap(t *testing.T) {
	cmd := role(t, "idle")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("no address")
	}
	e, addr := inboundTo(t, lines.Text(), Config{Verify: unverified})
	drain := make(chan struct{})
	go func() {
		for {
			select {
			case <-drain:
				return
			case <-time.After(time.Millisecond):
				takeSpans(e)
			}
		}
	}()
	before, threads, files := heap(), threadCount(t), openDescriptors()
	if _, err := io.WriteString(in, addr+"\n"); err != nil {
		t.Fatal(err)
	}
	if !lines.Scan() || lines.Text() != "open" {
		t.Fatalf("the peers failed: %q", lines.Text())
	}
	close(drain)
	if n := e.Stats().Sessions[span.Server]; n != idleSessions {
		t.Fatalf("%d sessions", n)
	}
	if got := float64(heap()-before) / idleSessions; got > 1536 {
		t.Errorf("%.0f bytes of heap a session", got)
	} else {
		t.Logf("%.0f bytes of heap a session", got)
	}
	if got := threadCount(t); got > threads+2 {
		t.Errorf("%d threads, %d before", got, threads)
	}
	if st := e.Stats(); st.PendingBytes != 0 {
		t.Errorf("%d bytes pending", st.PendingBytes)
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	noSessions(t, e)
	eventually(t, "the descriptors to be closed", func() bool { return openDescriptors() <= files })
}

// heap returns the bytes of live objects.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// threadCount returns the number of this process's threads.
func threadCount(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}
