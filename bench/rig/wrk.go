package rig

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/proc"
)

// WrkLoad is a closed loop by wrk with one thread.
type WrkLoad struct {
	Connections int
	Duration    time.Duration // whole seconds
	Path        string
	Close       bool // one connection per request
}

// WrkResult is what wrk says of a run.
type WrkResult struct {
	Requests int64 // answered
	Seconds  float64
	Errors   int64 // of sockets, and answers other than 2xx and 3xx
	Output   string
}

// Rate is answers a second.
func (w WrkResult) Rate() float64 { return float64(w.Requests) / w.Seconds }

// Wrk runs wrk against address until it is done.
func (r *Rig) Wrk(ctx context.Context, address string, l WrkLoad) (WrkResult, error) {
	path, err := r.Tools.Find(peer.Wrk)
	if err != nil {
		return WrkResult{}, err
	}
	seconds := strconv.Itoa(max(1, int(l.Duration.Seconds()))) + "s"
	args := []string{"-t1", "-c" + strconv.Itoa(l.Connections), "-d" + seconds, "--timeout", "10s"}
	if l.Close {
		args = append(args, "-H", "Connection: close")
	}
	r.started["wrk"]++
	name := "wrk-" + strconv.Itoa(r.started["wrk"])
	p, err := r.Group.Start(proc.Spec{Name: name, Path: path, Args: append(args, "http://"+address+l.Path), CPUs: r.Pinning.Others})
	if err != nil {
		return WrkResult{}, err
	}
	defer r.Group.Stop(p)
	limit, cancel := context.WithTimeout(ctx, l.Duration+30*time.Second)
	defer cancel()
	if err := p.Wait(limit); err != nil {
		return WrkResult{}, fmt.Errorf("wrk: %w:\n%s", err, p.Tail())
	}
	out, err := os.ReadFile(filepath.Join(r.Dir, "logs", name+".log"))
	if err != nil {
		return WrkResult{}, fmt.Errorf("wrk: %w", err)
	}
	return parseWrk(string(out))
}

// patterns of wrk's output.
var (
	wrkTotal  = regexp.MustCompile(`(?m)^\s*(\d+) requests in ([\d.]+)(us|ms|s|m|h)`)
	wrkSocket = regexp.MustCompile(`(?m)^\s*Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
	wrkStatus = regexp.MustCompile(`(?m)^\s*Non-2xx or 3xx responses: (\d+)`)
)

// parseWrk reads wrk's output.
func parseWrk(out string) (WrkResult, error) {
	result := WrkResult{Output: out}
	total := wrkTotal.FindStringSubmatch(out)
	if total == nil {
		return result, fmt.Errorf("wrk: %w:\n%s", ErrOutput, out)
	}
	var err error
	if result.Requests, err = strconv.ParseInt(total[1], 10, 64); err != nil {
		return result, fmt.Errorf("wrk: %w: %w", ErrOutput, err)
	}
	length, err := time.ParseDuration(total[2] + strings.ReplaceAll(total[3], "us", "µs"))
	if err != nil {
		return result, fmt.Errorf("wrk: %w: %w", ErrOutput, err)
	}
	result.Seconds = length.Seconds()
	for _, match := range [][]string{wrkSocket.FindStringSubmatch(out), wrkStatus.FindStringSubmatch(out)} {
		for i := 1; i < len(match); i++ {
			n, err := strconv.ParseInt(match[i], 10, 64)
			if err != nil {
				return result, fmt.Errorf("wrk: %w: %w", ErrOutput, err)
			}
			result.Errors += n
		}
	}
	if result.Requests == 0 {
		return result, fmt.Errorf("wrk: %w: no request was answered:\n%s", ErrWrong, out)
	}
	return result, nil
}
