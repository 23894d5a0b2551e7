//go:build e2e

package attacks

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/internal/need"
	"github.com/spanwire/spanwire/internal/sidecar"
)

// loadVariable names the load generator.
const loadVariable = "SPANWIRE_LOAD"

// core chooses a processor: the proxies have one for themselves, all others share the other, so that an attacker takes nothing from a proxy but
// by what it sends.
type core int

const (
	proxyCore core = iota
	otherCore
)

// set returns the processor as a set; on a machine with one, or one allowed, both are that.
func (c core) set() (set unix.CPUSet, err error) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return set, err
	}
	var list []int
	for i := 0; i < 8*len(allowed)*8; i++ {
		if allowed.IsSet(i) {
			list = append(list, i)
		}
	}
	if len(list) == 0 {
		return set, errors.New("no processor is allowed")
	}
	set.Set(list[min(int(c), len(list)-1)])
	return set, nil
}

// pinned calls start with this thread on that processor: what start starts inherits it (man 2 sched_setaffinity).
func pinned(t *testing.T, c core, start func()) {
	t.Helper()
	set, err := c.set()
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := errors.Join(unix.SchedGetaffinity(0, &before), unix.SchedSetaffinity(0, &set)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.SchedSetaffinity(0, &before); err != nil {
			t.Error(err)
		}
	}()
	start()
}

// startPinned starts cmd on that processor.
func startPinned(t *testing.T, cmd *exec.Cmd, c core) {
	t.Helper()
	pinned(t, c, func() {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	})
}

// loadGenerator returns the path of spanload.
func loadGenerator(t *testing.T) string {
	t.Helper()
	path := os.Getenv(loadVariable)
	if _, err := os.Stat(path); err != nil {
		need.Missing(t, loadVariable+" ("+err.Error()+")", "run make e2e, which builds it")
	}
	return path
}

// upstreamVariable makes this binary the application behind the proxies.
const upstreamVariable = "SPANWIRE_TEST_UPSTREAM"

const (
	// answerBytes is the length of an ordinary answer's body.
	answerBytes = 256
	// readField has how many bytes of body the application has read of the request.
	readField = "X-Body-Read"
)

// TestBeUpstream is the application's process; in any other it does nothing. It reads whatever body comes and answers with as many bytes
// as the query says, and their hash, which the victims check.
func TestBeUpstream(*testing.T) {
	if os.Getenv(upstreamVariable) == "" {
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	content := bytes.Repeat([]byte("spanwire"), 64<<10/8)
	answers := map[int]string{}
	for _, n := range []int{answerBytes, 20_000, 64 << 10} {
		answers[n] = fmt.Sprintf("crc32c=%08x", crc32.Checksum(content[:n], crc32.MakeTable(crc32.Castagnoli)))
	}
	s := http.Server{ReadHeaderTimeout: attackerLife, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == endlessTrailersPath {
			readTrailers(w)
			return
		}
		read, _ := io.Copy(io.Discard, r.Body)
		w.Header().Set(readField, strconv.FormatInt(read, 10))
		n, err := strconv.Atoi(r.URL.Query().Get("size"))
		if err != nil {
			n = answerBytes
		}
		w.Header().Set("Content-Length", strconv.Itoa(n))
		w.Header().Set("X-Body-Hash", answers[n])
		_, _ = w.Write(content[:n])
	})}
	_ = s.Serve(l)
	os.Exit(1)
}

const (
	// endlessTrailersPath is where the application reads trailers as far as endlessTrailersBytes, body included: package net/http gives up on them
	// before the sidecar does, mostly.
	endlessTrailersPath  = "/trailers"
	endlessTrailersBytes = 1 << 20
)

// readTrailers reads what follows a head, whatever it is, and cuts the connection off when it is too much.
func readTrailers(w http.ResponseWriter) {
	c, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.CopyN(io.Discard, buffered, endlessTrailersBytes)
}

// startUpstream starts the application and returns its address.
func startUpstream(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestBeUpstream$")
	cmd.Env = append(os.Environ(), upstreamVariable+"=1")
	return startPrinting(t, cmd)
}

// startSink starts a trace collector and returns its address.
func startSink(t *testing.T, load string) string {
	t.Helper()
	line := startPrinting(t, exec.Command(load, "sink", "--listen", "127.0.0.1:0"))
	return line[strings.LastIndexByte(line, ' ')+1:]
}

// startPrinting starts cmd beside the proxies and returns the first line that it writes.
func startPrinting(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	startPinned(t, cmd, otherCore)
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// startSidecar starts the sidecar before upstream, traced in full, alone on its processor, with further flags.
func startSidecar(t *testing.T, upstream, sink string, descriptors int, flags ...string) (p *sidecar.Process) {
	t.Helper()
	args := append([]string{sidecar.Binary(t), "--service-name", "attacked", "--inbound", "127.0.0.1:0=" + upstream, "--loops", "1",
		"--exporter", "otlp", "--otlp-endpoint", "http://" + sink, "--metrics", "127.0.0.1:0", "--admin", "off"}, flags...)
	if descriptors > 0 {
		args = append([]string{need.Tool(t, "prlimit"), fmt.Sprintf("--nofile=%d:%d", descriptors, descriptors)}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = sidecar.Environment()
	pinned(t, proxyCore, func() { p = sidecar.Start(t, cmd) })
	return p
}

// haproxyAddress is free: the test has a namespace of its own.
const haproxyAddress = "127.0.0.1:18080"

// proxy is what is attacked, the sidecar or HAProxy.
type proxy struct {
	address string
	sockets func() int // that the connections which it relays now take of it
}

// awaitIdle waits until p has given back all connections.
func (p proxy) awaitIdle(t *testing.T) {
	t.Helper()
	p.await(t, "its connections to end", func(sockets int) bool { return sockets <= 0 })
}

// awaitVictims waits until p has taken the victims' connections: whoever is to be seen to be served under attack is there before it.
func (p proxy) awaitVictims(t *testing.T) {
	t.Helper()
	p.await(t, "the victims to be connected", func(sockets int) bool { return sockets >= socketsPerConnection*victimConns })
}

// await waits until the number of its connections' sockets is as it should be.
func (p proxy) await(t *testing.T, what string, cond func(sockets int) bool) {
	t.Helper()
	for deadline := time.Now().Add(sidecar.Patience); ; time.Sleep(5 * time.Millisecond) {
		sockets := p.sockets()
		if cond(sockets) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain at %s for %s: it has %d sockets for them", p.address, what, sockets)
		}
	}
}

// asProxy is a sidecar as what is attacked.
func asProxy(p *sidecar.Process) proxy {
	return proxy{p.Inbound, func() int { return socketsPerConnection * int(p.Sum("spanwire_sessions")) }}
}

// socketsPerConnection is what a connection through a proxy takes of it: one on either side.
const socketsPerConnection = 2

// haproxy is a running HAProxy.
type haproxy struct {
	proxy
	pid  int
	idle int    // its descriptors with no connection
	stop func() // ends it; the second call does nothing
}

// startHAProxy starts HAProxy before upstream as a plain TCP relay with one thread, alone on its processor.
// Its own limit of connections is set so that it has as many descriptors as the sidecar: two for each connection, and some of its own.
func startHAProxy(t *testing.T, upstream string, descriptors int) *haproxy {
	t.Helper()
	connections := 4000
	if descriptors > 0 {
		connections = (descriptors - 20) / socketsPerConnection
	}
	config := filepath.Join(t.TempDir(), "haproxy.cfg")
	text := fmt.Sprintf(`global
    nbthread 1
    maxconn %d
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
    no log
listen relay
    bind %s
    server app %s
`, connections, haproxyAddress, upstream)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(need.Tool(t, "haproxy"), "-db", "-f", config)
	var log sidecar.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	startPinned(t, cmd, proxyCore)
	h := &haproxy{pid: cmd.Process.Pid, stop: sync.OnceFunc(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })}
	h.proxy = proxy{haproxyAddress, func() int { return sidecar.DescriptorsOf(t, h.pid) - h.idle }}
	t.Cleanup(h.stop)
	for deadline := time.Now().Add(sidecar.Patience); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("tcp", haproxyAddress)
		if err == nil {
			_ = c.Close()
			return h
		}
		if time.Now().After(deadline) {
			t.Fatalf("HAProxy does not listen: %v\n%s", err, log.String())
		}
	}
}

// victims is a load under way: open loop, so that whoever waits is seen to wait, every answer checked.
type victims struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

// measured is what the victims saw, as far as it is asked for.
type measured struct {
	First    string `json:"first_error"`
	Requests struct {
		Sent         int `json:"sent"` // in the warm-up too
		OK           int `json:"ok"`
		Failed       int `json:"failed"`
		WarmupFailed int `json:"warmup_failed"`
	} `json:"requests"`
	Latency struct {
		P50 time.Duration `json:"p50_ns"`
		P99 time.Duration `json:"p99_ns"`
		Max time.Duration `json:"max_ns"`
	} `json:"latency"`
}

// lost counts the requests that were sent and had no answer, or a wrong one. Those that found no connection free are late, not lost: their wait
// is among the latencies.
func (m *measured) lost() int { return m.Requests.Failed + m.Requests.WarmupFailed }

const (
	victimRate   = 500
	victimConns  = 16
	victimWarmup = 1000 * time.Millisecond // the attack gets under way meanwhile
	victimWindow = 2 * time.Second         // 1 000 requests: ten are above the 99th percentile
)

// startVictims starts the load on target. The connections of an ordinary one are there before the attack.
func startVictims(t *testing.T, load, target string, warmup, window time.Duration, fresh bool) *victims {
	t.Helper()
	args := []string{"--json", "--quiet", "--allow-errors", "--rate", strconv.Itoa(victimRate), "--connections", strconv.Itoa(victimConns),
		"--warmup", warmup.String(), "--duration", window.String()}
	if fresh {
		args = append(args, "--no-keepalive")
	}
	v := &victims{cmd: exec.Command(load, append(args, "http://"+target+"/victim")...)}
	v.cmd.Stdout, v.cmd.Stderr = &v.out, os.Stderr
	startPinned(t, v.cmd, otherCore)
	return v
}

// wait returns what they saw.
func (v *victims) wait(t *testing.T) (m measured) {
	t.Helper()
	_ = v.cmd.Wait() // an invalid result, which is looked at below
	if err := json.Unmarshal(v.out.Bytes(), &m); err != nil {
		t.Fatalf("spanload: %v\n%s", err, v.out.String())
	}
	return m
}
