package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// sidecar is the program under test, seen from the outside only: its log, its metrics, and what the kernel says of it.
type sidecar struct {
	cmd     *exec.Cmd
	log     tail
	ended   chan struct{}
	metrics string // address
	http    http.Client
}

// tail keeps the beginning and the end of a log, so that a run of days keeps it within bounds.
type tail struct {
	mu        sync.Mutex
	head, end bytes.Buffer
}

// tailBytes bounds each part.
const tailBytes = 64 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.head.Len() < tailBytes {
		return t.head.Write(p)
	}
	if t.end.Len() > tailBytes {
		t.end.Next(t.end.Len() / 2)
	}
	return t.end.Write(p)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.head.String() + t.end.String()
}

// startPatience bounds the start and each scrape.
const startPatience = 20 * time.Second

// startSidecar starts the program and waits until it says where it listens.
func startSidecar(bin string, args []string) (*sidecar, error) {
	s := &sidecar{cmd: exec.Command(bin, args...), ended: make(chan struct{})}
	s.http = http.Client{Timeout: startPatience, Transport: &http.Transport{DisableKeepAlives: true}}
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "GORACE=" + os.Getenv("GORACE")}
	s.cmd.Stderr = &s.log
	// An interrupt from the terminal is this program's to act on: the sidecar outlives the traffic.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = s.cmd.Wait() // the exit code says it
		close(s.ended)
	}()
	for deadline := time.Now().Add(startPatience); !strings.Contains(s.log.String(), "spanwire started"); time.Sleep(5 * time.Millisecond) {
		if s.gone() || time.Now().After(deadline) {
			s.kill()
			return nil, fmt.Errorf("the sidecar does not start:\n%s", s.log.String())
		}
	}
	s.metrics = s.address(`metrics=([0-9.:]+)`)
	return s, nil
}

// address finds the first match of the expression's group in the log; "" = none.
func (s *sidecar) address(expression string) string {
	if m := regexp.MustCompile(expression).FindStringSubmatch(s.log.String()); m != nil {
		return m[1]
	}
	return ""
}

// listener returns the address of the listener in front of upstream.
func (s *sidecar) listener(upstream string) string {
	return s.address(`([0-9.:]+) -> ` + regexp.QuoteMeta(upstream) + `[,"]`)
}

func (s *sidecar) gone() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

func (s *sidecar) kill() {
	_ = s.cmd.Process.Kill() // fails only when it has ended
	<-s.ended
}

// stopPatience bounds a clean end: the drain's twenty seconds, and some for a machine that is busy.
const stopPatience = 40 * time.Second

// stop asks it to end and returns its exit code; -1 if it had to be killed.
func (s *sidecar) stop() int {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(stopPatience):
		s.kill()
		return -1
	}
}

// series are the values of a scrape by their names with labels.
type series map[string]float64

// scrape reads the metrics.
func (s *sidecar) scrape() (series, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+s.metrics+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := s.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	return parseSeries(string(body))
}

// parseSeries reads Prometheus' text format.
func parseSeries(text string) (series, error) {
	found := series{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if at < 0 || err != nil {
			return nil, fmt.Errorf("metrics: %q is no series", line)
		}
		found[line[:at]] = value
	}
	return found, nil
}

// sum adds up all series of a metric whose labels contain each of the texts.
func (m series) sum(name string, labels ...string) (sum float64) {
next:
	for s, value := range m {
		bare, rest, _ := strings.Cut(s, "{")
		if bare != name {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(rest, l) {
				continue next
			}
		}
		sum += value
	}
	return sum
}

// process is what the kernel says of the sidecar.
type process struct {
	rss                  float64 // MiB
	threads, descriptors float64
}

var errStatus = errors.New("cannot read the sidecar's status")

// process reads /proc (man 5 proc_pid_status).
func (s *sidecar) process() (p process, err error) {
	dir := filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid))
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return p, err
	}
	descriptors, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return p, err
	}
	p.descriptors = float64(len(descriptors))
	for line := range strings.Lines(string(status)) {
		name, rest, _ := strings.Cut(line, ":")
		value, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
		switch {
		case err != nil:
		case name == "VmRSS":
			p.rss = value / 1024
		case name == "Threads":
			p.threads = value
		}
	}
	if p.rss == 0 || p.threads == 0 {
		return p, errStatus
	}
	return p, nil
}
