package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spanwire/spanwire/demo/collector"
	"github.com/spanwire/spanwire/demo/hosts"
	"github.com/spanwire/spanwire/demo/mesh"
)

// The users of the transparent demo: connections of sidecarUser are not redirected.
const (
	sidecarUser = 1337
	serviceUser = 65534
)

// servicePort is where every service listens; nothing tells it, or its callers, of the sidecar.
const servicePort = "8080"

// endPatience bounds the end of one process.
const endPatience = 15 * time.Second

// errLeft says that something was not removed.
var errLeft = errors.New("left behind")

// isolated runs the transparent demo in a network namespace of its own, where its bridge and its hosts are.
func isolated() (int, error) {
	if os.Geteuid() != 0 {
		return 0, fmt.Errorf("%w: redirect rules and network namespaces need root: sudo make demo-transparent", errUsage)
	}
	for tool, pkg := range map[string]string{"ip": "iproute2", "nsenter": "util-linux", "setpriv": "util-linux", "curl": "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			return 0, fmt.Errorf("%w: %s is missing: apt-get install %s", errUsage, tool, pkg)
		}
	}
	return hosts.Isolate(append(os.Args[1:], "-inside")...)
}

// fleet is the hosts of the transparent demo and what runs there.
type fleet struct {
	bin      string // spanwire
	hosts    []*hosts.Host
	services []*mesh.Process
	sidecars []*mesh.Process
}

// playTransparent runs the demo over both families.
func (s *show) playTransparent(ctx context.Context, opts options) error {
	dir, err := os.MkdirTemp("", "spanwire-demo")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := hosts.Open(); err != nil {
		return err
	}
	for _, v6 := range []bool{false, true} {
		if err := s.transparent(ctx, opts, dir, v6); err != nil {
			return err
		}
	}
	return nil
}

// transparent is one run: three hosts, rules, sidecars, services, curl, the trace, and everything removed.
func (s *show) transparent(ctx context.Context, opts options, dir string, v6 bool) (err error) {
	c, err := collector.StartAt(hosts.Outside(v6) + ":0")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	s.head("Three hosts on a bridge, %s; on each a service that knows nothing of tracing", map[bool]string{false: "IPv4", true: "IPv6"}[v6])
	f := &fleet{}
	defer f.kill() // does nothing once stop has
	if err := f.start(ctx, s, opts, dir, v6, c.ZipkinEndpoint()); err != nil {
		return err
	}
	n := max(1, opts.requests/8) // curl opens a connection for each
	s.head("curl from outside, %d times", n)
	var paths []string
	for i := range n {
		path := fmt.Sprintf("/checkout/%d", 1001+i)
		url := "http://" + hosts.Address(1, v6) + ":" + servicePort + path
		out, err := exec.CommandContext(ctx, "curl", "-sSfg", "--max-time", "20", url).CombinedOutput()
		if err != nil {
			return fmt.Errorf("curl %s: %w: %s", url, err, out)
		}
		if i == 0 {
			s.say("curl %s", url)
			s.say("%s", strings.TrimSpace(string(out)))
		}
		paths = append(paths, path)
	}
	expected := len(paths) * mesh.SpansPerRequest
	waiting, cancel := context.WithTimeout(ctx, exportPatience)
	late := c.Wait(waiting, expected)
	cancel()
	if err := errors.Join(f.stop(s), c.Problems()); err != nil {
		return err
	}
	sent := c.Spans()
	s.counts(len(paths), expected, len(sent))
	if err := errors.Join(late, mesh.Verify(sent, paths)); err != nil {
		return err
	}
	s.say("traces right    %5d   (the exact tree of services, kinds, operations and statuses)", len(paths))
	return s.trace(sent, paths[len(paths)-1], nil)
}

// start makes the hosts, the last of the chain first, and starts what runs there.
func (f *fleet) start(ctx context.Context, s *show, opts options, dir string, v6 bool, endpoint string) error {
	var service string
	var err error
	if f.bin, err = publicCopy(opts.spanwire, dir); err != nil {
		return err
	}
	if service, err = publicCopy(opts.service, dir); err != nil {
		return err
	}
	names := [...]string{"frontend", "cart", "pricing"}
	for n := len(names); n >= 1; n-- {
		h, err := hosts.New(n, "-hold")
		if err != nil {
			return err
		}
		f.hosts = append(f.hosts, h)
		name := names[n-1]
		said, err := h.Run(f.bin, "intercept", "add", "--uid", fmt.Sprint(sidecarUser), "--gid", fmt.Sprint(sidecarUser))
		if err != nil {
			return err
		}
		sidecar, err := h.Start(name+"'s spanwire", sidecarUser, f.bin, "--service-name", name, "--exporter", "zipkin", "--zipkin-endpoint", endpoint)
		if err != nil {
			return err
		}
		f.sidecars = append(f.sidecars, sidecar)
		if _, err := h.Run(f.bin, "wait", "--timeout", "15s"); err != nil {
			return fmt.Errorf("%w; it wrote:\n%s", err, sidecar.Output())
		}
		args := []string{"-name", name, "-listen", ":" + servicePort}
		if n < len(names) {
			args = append(args, "-next", "http://"+hosts.Address(n+1, v6)+":"+servicePort)
		}
		p, err := h.Start(name, serviceUser, service, args...)
		if err != nil {
			return err
		}
		f.services = append(f.services, p)
		if err := p.Await(ctx, func(output string) bool { return strings.Contains(output, "listens on") }); err != nil {
			return err
		}
		if out, err := h.Run(f.bin, "intercept", "check"); err != nil {
			return fmt.Errorf("intercept check: %w %s", err, out)
		}
		s.say("%-8s  %s:%s  uid %d   spanwire uid %d: %s", name, hosts.Address(n, v6), servicePort, serviceUser, sidecarUser, strings.TrimSpace(said))
	}
	return nil
}

// stop takes the rules away, ends everything, and makes sure that nothing is left.
func (f *fleet) stop(s *show) error {
	s.head("Removing everything")
	var problems []error
	for _, p := range f.services {
		problems = append(problems, p.Stop(endPatience))
	}
	for _, h := range f.hosts {
		_, err := h.Run(f.bin, "intercept", "remove", "--wait", "--timeout", endPatience.String())
		problems = append(problems, err)
		left, err := h.Run(f.bin, "intercept", "show")
		if err == nil && strings.TrimSpace(left) != "no rules are installed" {
			err = fmt.Errorf("%w: %s", errLeft, left)
		}
		problems = append(problems, err)
	}
	ends := make(chan error, len(f.sidecars))
	for _, p := range f.sidecars {
		go func() { ends <- p.Stop(endPatience) }()
	}
	for range f.sidecars {
		problems = append(problems, <-ends)
	}
	for _, h := range f.hosts {
		h.Close()
	}
	f.hosts = nil
	s.say("services and sidecars have ended, rules and hosts are gone; the bridge ends with this program")
	return errors.Join(problems...)
}

// kill ends everything at once.
func (f *fleet) kill() {
	for _, p := range append(f.services, f.sidecars...) {
		p.Kill()
	}
	for _, h := range f.hosts {
		h.Close()
	}
}

// publicCopy copies a program to where every user can run it: the build's own directory may be its owner's alone.
func publicCopy(from, dir string) (string, error) {
	b, err := os.ReadFile(from)
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // other users are to run what is in it
		return "", err
	}
	to := filepath.Join(dir, filepath.Base(from))
	if _, err := os.Stat(to); err == nil {
		return to, nil
	}
	return to, os.WriteFile(to, b, 0o755) //nolint:gosec // the same
}
