// Package mesh starts the demo's services, each with a sidecar beside it, sends requests through them and stops them again. All are
// processes of their own on free ports of the loopback interface.
package mesh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"time"
)

// startPatience bounds the start of one sidecar, and stopPatience the end of one process. Both take milliseconds; a machine that
// compiles something else beside may be slower by orders of magnitude. Stopping includes the last flush of spans.
const (
	startPatience = 15 * time.Second
	stopPatience  = 15 * time.Second
)

// Config says what to start.
type Config struct {
	Spanwire string                           // path of the sidecar
	Service  string                           // path of the demo's service
	Exporter []string                         // the sidecars' arguments that choose exporters
	Say      func(format string, args ...any) // told what happens; never nil
}

// Mesh is the running demo.
type Mesh struct {
	frontend  string // address of the frontend's sidecar
	services  []*Process
	sidecars  []*Process
	transport *clientTransport
}

// chain lists the services from the last to the first, so that each can be told where the next one listens.
var chain = []string{"pricing", "cart", "frontend"}

// Start starts services and sidecars; it returns once all sidecars listen. When it fails nothing is left running.
func Start(ctx context.Context, cfg Config) (*Mesh, error) {
	m := &Mesh{transport: newTransport()}
	next := ""
	for _, name := range chain {
		var err error
		if next, err = m.startPair(ctx, cfg, name, next); err != nil {
			m.Kill()
			return nil, err
		}
	}
	m.frontend = next
	return m, nil
}

// startPair starts the service name and its sidecar. next is the address of the next service's sidecar, empty for the last; the
// address of this one's sidecar is returned.
//
// The service's listening socket is opened here and handed down: so the sidecar can be told its address before the service, which
// in turn has to be told the sidecar's, runs; and no port is ever guessed.
func (m *Mesh) startPair(ctx context.Context, cfg Config, name, next string) (inbound string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	defer func() { _ = l.Close() }() // the service has a duplicate
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	defer func() { _ = file.Close() }()

	args := []string{"--service-name", name, "--inbound", "127.0.0.1:0=" + l.Addr().String(), "--admin", "off", "--metrics", "off"}
	if next != "" {
		args = append(args, "--outbound", "127.0.0.1:0="+next)
	}
	sidecar, err := StartProcess(name+"'s spanwire", cfg.Spanwire, append(args, cfg.Exporter...), nil)
	if err != nil {
		return "", err
	}
	m.sidecars = append(m.sidecars, sidecar)
	var outbound string
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	err = sidecar.Await(ctx, func(output string) bool {
		inbound, outbound = listeners(output)
		return inbound != "" && (outbound != "" || next == "")
	})
	if err != nil {
		return "", err
	}

	serviceArgs := []string{"-name", name, "-listen", "inherited"}
	if next != "" {
		serviceArgs = append(serviceArgs, "-next", "http://"+outbound)
	}
	service, err := StartProcess(name, cfg.Service, serviceArgs, nil, file)
	if err != nil {
		return "", err
	}
	m.services = append(m.services, service)
	cfg.Say("%-8s  pid %-6d on %s   spanwire pid %-6d inbound %s%s", name, service.PID(), l.Addr(), sidecar.PID(), inbound,
		map[bool]string{true: ", outbound " + outbound}[outbound != ""])
	return inbound, nil
}

// startLine and listenerPattern find the listeners in what a sidecar writes: the line with which it begins names each with the port
// that it got, and where it leads.
var (
	startLine       = regexp.MustCompile(`(?m)^.*"spanwire started".*\n`)
	listenerPattern = regexp.MustCompile(` (inbound|outbound)="([^" ]+) -> `)
)

// listeners returns the addresses of the explicit listeners; empty while the start line has not been written to its end.
func listeners(output string) (inbound, outbound string) {
	for _, match := range listenerPattern.FindAllStringSubmatch(startLine.FindString(output), -1) {
		if match[1] == "inbound" {
			inbound = match[2]
		} else {
			outbound = match[2]
		}
	}
	return inbound, outbound
}

// Stop ends the services, then the sidecars, whose end includes sending the last spans. It returns what did not end by itself with
// code 0.
func (m *Mesh) Stop() error {
	m.transport.CloseIdleConnections()
	var problems []error
	for _, group := range [][]*Process{m.services, m.sidecars} {
		ends := make(chan error, len(group))
		for _, p := range group {
			go func() { ends <- p.Stop(stopPatience) }()
		}
		for range group {
			problems = append(problems, <-ends)
		}
	}
	return errors.Join(problems...)
}

// Kill ends everything at once.
func (m *Mesh) Kill() {
	for _, p := range append(m.services, m.sidecars...) {
		p.Kill()
	}
}

// Check returns an error when a process has ended by itself.
func (m *Mesh) Check() error {
	for _, p := range append(m.services, m.sidecars...) {
		if !p.Alive() {
			return fmt.Errorf("%s %w (%s); it wrote:\n%s", p.Name, ErrExited, p.cmd.ProcessState, p.Output())
		}
	}
	return nil
}

// Logs returns what the sidecars wrote, for a reader who looks for a fault.
func (m *Mesh) Logs() string {
	var b strings.Builder
	for _, p := range m.sidecars {
		fmt.Fprintf(&b, "--- %s wrote:\n%s\n", p.Name, p.Output())
	}
	return b.String()
}
