//go:build e2e

package attacks

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The attacker is a process of its own, this binary again: what it does is in the first variable, and to whom in the second.
const (
	attackVariable = "SPANWIRE_TEST_ATTACK"
	targetVariable = "SPANWIRE_TEST_TARGET"
)

// attackerLife ends an attacker whose test is gone; no attack lasts nearly as long.
const attackerLife = time.Minute

// attackerStep is how long an attacker waits for anything but its own pace.
const attackerStep = 5 * time.Second

// attackerPatience is how long an attack may take to get under way.
const attackerPatience = 700 * time.Millisecond

// attackSeed makes what an attacker does at random the same in every run.
const attackSeed = 7

// attacker is what the goroutines of an attack share.
type attacker struct {
	target string
	stop   chan struct{}
	done   sync.WaitGroup
	ready  sync.WaitGroup // what has to stand before the attack is called under way

	connections, refused, requests, bytes, bodies atomic.Int64
	wrong                                         atomic.Pointer[string] // an answer to a whole body that is not as it must be
}

// attackCounts is what an attacker says of itself at its end: what it had done when it was told to end, but for whole bodies.
type attackCounts struct {
	Connections int64   `json:"connections"`
	Refused     int64   `json:"refused"` // connections that could not be made
	Requests    int64   `json:"requests"`
	Bytes       int64   `json:"bytes"`   // sent
	Bodies      int64   `json:"bodies"`  // of chunksPerBody chunks, sent to their ends, read by the application, and answered
	Seconds     float64 `json:"seconds"` // from its start until it was told to end
	Wrong       string  `json:"wrong"`   // what is wrong with an answer to such a body; "" = nothing
}

// TestBeAttacker is the attacker's process; in any other it does nothing.
func TestBeAttacker(*testing.T) {
	name := os.Getenv(attackVariable)
	if name == "" {
		return
	}
	for i := range table {
		if table[i].name == name {
			table[i].attack()
			os.Exit(0)
		}
	}
	fmt.Fprintln(os.Stderr, "no such attack:", name)
	os.Exit(1)
}

// attack runs the attack in this process until its standard input ends.
func (x *attack) attack() {
	time.AfterFunc(attackerLife, func() { os.Exit(1) })
	a := &attacker{target: os.Getenv(targetVariable), stop: make(chan struct{})}
	began := time.Now()
	x.run(a)
	standing := make(chan struct{})
	go func() { a.ready.Wait(); close(standing) }()
	select {
	case <-standing:
	case <-time.After(attackerPatience): // what does not stand by now may be waiting for a proxy that takes no more
	}
	fmt.Println("under way")
	_, _ = io.Copy(io.Discard, os.Stdin)
	counts := attackCounts{
		Connections: a.connections.Load(), Refused: a.refused.Load(), Requests: a.requests.Load(), Bytes: a.bytes.Load(),
		Seconds: time.Since(began).Seconds(),
	}
	close(a.stop)
	a.done.Wait()
	counts.Bodies = a.bodies.Load() // the last of them may have ended just now
	if wrong := a.wrong.Load(); wrong != nil {
		counts.Wrong = *wrong
	}
	_ = json.NewEncoder(os.Stdout).Encode(counts)
}

// stopped reports whether the attack is over.
func (a *attacker) stopped() bool {
	select {
	case <-a.stop:
		return true
	default:
		return false
	}
}

// each runs f in n goroutines, over and over until the attack is over, each with random numbers of its own.
func (a *attacker) each(n int, f func(random *rand.Rand)) {
	for i := range n {
		random := rand.New(rand.NewPCG(attackSeed, uint64(i)))
		a.done.Go(func() {
			for !a.stopped() {
				f(random)
			}
		})
	}
}

// dial makes a connection; nil when it cannot be made. It is cut off when the attack is over, whatever it waits for.
func (a *attacker) dial() *net.TCPConn {
	c, err := net.DialTimeout("tcp", a.target, attackerStep)
	if err != nil {
		a.refused.Add(1)
		time.Sleep(attackerStep / 500) // not a busy loop, whatever the pace
		return nil
	}
	a.connections.Add(1)
	_ = c.SetDeadline(time.Now().Add(attackerLife))
	return c.(*net.TCPConn)
}

// hold closes c at the end of the attack, from beside whoever waits on it; release, which f calls when it has closed c itself, ends that.
func (a *attacker) hold(c net.Conn) (release func()) {
	gone := make(chan struct{})
	a.done.Go(func() {
		select {
		case <-a.stop:
			_ = c.Close()
		case <-gone:
		}
	})
	return sync.OnceFunc(func() { close(gone); _ = c.Close() })
}

// write sends b and counts it.
func (a *attacker) write(c net.Conn, b []byte) bool {
	n, err := c.Write(b)
	a.bytes.Add(int64(n))
	return err == nil
}

// pace limits a rate over all goroutines that share it.
type pace struct {
	mu   sync.Mutex
	next time.Time
	per  time.Duration // for each unit
}

// perSecond makes a pace of n units a second.
func perSecond(n int) *pace { return &pace{per: time.Second / time.Duration(n)} }

// take waits until n more units are due. Time that nobody used is lost, a hundredth of a second apart: the attack is even.
func (p *pace) take(n int) {
	p.mu.Lock()
	now := time.Now()
	if earliest := now.Add(-10 * time.Millisecond); p.next.Before(earliest) {
		p.next = earliest
	}
	p.next = p.next.Add(time.Duration(n) * p.per)
	wait := p.next.Sub(now)
	p.mu.Unlock()
	time.Sleep(wait)
}

// reset closes c with a reset.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// attackerProcess is an attacker as the test sees it.
type attackerProcess struct {
	cmd *exec.Cmd
	in  io.Closer
	out io.Reader
}

// launch starts the attackers of target, pinned, and returns once the attack is under way.
func (x *attack) launch(t *testing.T, target string) (all []*attackerProcess) {
	t.Helper()
	for range max(x.processes, 1) {
		all = append(all, x.launchOne(t, target))
	}
	for _, r := range all {
		const said = "under way\n"
		line := make([]byte, len(said))
		if _, err := io.ReadFull(r.out, line); err != nil || string(line) != said {
			t.Fatalf("attacker: %v, %q", err, line)
		}
	}
	return all
}

// launchOne starts one attacker.
func (x *attack) launchOne(t *testing.T, target string) *attackerProcess {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestBeAttacker$")
	cmd.Env = append(os.Environ(), attackVariable+"="+x.name, targetVariable+"="+target)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	startPinned(t, cmd, otherCore)
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	return &attackerProcess{cmd: cmd, in: in, out: out}
}

// end ends the attack and returns what it did.
func (r *attackerProcess) end(t *testing.T) (counts attackCounts) {
	t.Helper()
	_ = r.in.Close()
	if err := json.NewDecoder(r.out).Decode(&counts); err != nil {
		t.Fatalf("attacker: %v", err)
	}
	if err := r.cmd.Wait(); err != nil {
		t.Fatalf("attacker: %v", err)
	}
	return counts
}
