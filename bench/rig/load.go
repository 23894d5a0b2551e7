package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/proc"
	"github.com/spanwire/spanwire/internal/port"
	"github.com/spanwire/spanwire/loadtest"
)

// Load runs spanload with the arguments against url until it is done. Its result may be invalid or hold errors: that is for the
// caller to judge. The error is for runs without a result.
func (r *Rig) Load(ctx context.Context, url string, warmup, measure time.Duration, args []string) (*loadtest.Result, error) {
	path, err := r.Tools.Find(peer.Spanload)
	if err != nil {
		return nil, err
	}
	r.started["load"]++
	name := "load-" + strconv.Itoa(r.started["load"])
	file := filepath.Join(r.Dir, "logs", name+".json")
	args = append([]string{"run", "--quiet", "--output", file, "--warmup", warmup.String(), "--duration", measure.String()}, args...)
	p, err := r.Group.Start(proc.Spec{Name: name, Path: path, Args: append(args, url), CPUs: r.Pinning.Others})
	if err != nil {
		return nil, err
	}
	defer r.Group.Stop(p)
	limit, cancel := context.WithTimeout(ctx, warmup+measure+60*time.Second)
	defer cancel()
	ended := p.Wait(limit) // exit code 1 is also for results that are invalid
	encoded, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("spanload: %w:\n%s", errors.Join(ended, err), p.Tail())
	}
	result := &loadtest.Result{}
	if err := json.Unmarshal(encoded, result); err != nil {
		return nil, fmt.Errorf("spanload: %w: %w", ErrOutput, err)
	}
	return result, ctx.Err()
}

// StartServer starts `spanload serve` with the arguments and returns its address once check holds there.
func (r *Rig) StartServer(ctx context.Context, name string, args []string, check func(context.Context, string) error) (string, *proc.Process,
	error) {
	path, err := r.Tools.Find(peer.Spanload)
	if err != nil {
		return "", nil, err
	}
	address, err := port.Free(loopback)
	if err != nil {
		return "", nil, err
	}
	args = append([]string{"serve", "--listen", address}, args...)
	p, err := r.Group.Start(proc.Spec{Name: name, Path: path, Args: args, CPUs: r.Pinning.Others})
	if err != nil {
		return "", nil, err
	}
	if err := poll(ctx, p, readyTimeout, func() error { return check(ctx, address) }); err != nil {
		r.Group.Stop(p)
		return "", nil, err
	}
	return address, p, nil
}

// StartHelper starts a program on the client's processors and waits until it takes connections at address.
func (r *Rig) StartHelper(ctx context.Context, name, path string, args []string, address string) (*proc.Process, error) {
	p, err := r.Group.Start(proc.Spec{Name: name, Path: path, Args: args, CPUs: r.Pinning.Others})
	if err != nil {
		return nil, err
	}
	err = poll(ctx, p, readyTimeout, func() error {
		dialer := net.Dialer{Timeout: checkTimeout}
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err != nil {
		r.Group.Stop(p)
		return nil, err
	}
	return p, nil
}
