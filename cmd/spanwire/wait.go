package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/spanwire/spanwire/intercept"
	"github.com/spanwire/spanwire/settings"
)

const (
	defaultWait = 30 * time.Second
	// askEvery is how often a sidecar that is not ready is asked again; askTimeout bounds one question.
	askEvery   = 50 * time.Millisecond
	askTimeout = time.Second
	// closedEvery is how often the kernel's list of sockets is read: with very many connections that takes a while.
	closedEvery = 200 * time.Millisecond
)

// errNotReady: the sidecar answered that it is not ready.
var errNotReady = errors.New("not ready")

func waitCommand(environ []string) *cli.Command {
	return &cli.Command{
		Name:  "wait",
		Usage: "return once a sidecar on this host is ready",
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "timeout", Value: defaultWait, Usage: "end with code 1 after this time"},
			&cli.StringFlag{Name: "closed", Usage: "wait until nobody listens at these ports of this host any more"},
			&cli.StringFlag{Name: "address", Usage: "ask at this HOST:PORT (default: where --admin, or else --metrics, of the environment is)"},
		},
		CustomHelpTemplate: literal(`Usage: spanwire wait [flags]

Returns once a sidecar on this host is ready, or with code 1 when the time is over. With --closed: once the application has closed its
ports, which is what the sidecar's own stop waits for where both are told to stop at once.

  --timeout DURATION
        how long to wait (default: 30s)
  --closed PORTS
        wait until nobody listens at any of these ports of this host, separated by commas
  --address HOST:PORT
        where its admin or metrics listener is (default: what SPANWIRE_ADMIN or SPANWIRE_METRICS says, else 127.0.0.1:14957)
`),
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			if c.Duration("timeout") < 0 {
				return usageError{fmt.Errorf("--timeout %q: want a duration, such as 30s", c.Duration("timeout"))}
			}
			if c.IsSet("closed") {
				ports, err := portNumbers(c.String("closed"))
				if err != nil {
					return usageError{fmt.Errorf("--closed %q: want ports from 1 to 65535, separated by commas", c.String("closed"))}
				}
				return waitClosed(ports, c.Duration("timeout"))
			}
			address := c.String("address")
			if address == "" {
				var err error
				if address, err = settings.AdminAddress(environ); err != nil {
					return usageError{err}
				}
			} else if _, _, err := net.SplitHostPort(address); err != nil {
				return usageError{fmt.Errorf("--address %q: want HOST:PORT", address)}
			}
			return waitReady(address, c.Duration("timeout"))
		},
	}
}

// waitReady asks until the sidecar is ready or the time is over. It asks at least once.
func waitReady(address string, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	for {
		err := askReady(address)
		if err == nil {
			return nil
		}
		if !time.Now().Add(askEvery).Before(deadline) {
			return fmt.Errorf("no sidecar was ready at %s within %s: %w", address, timeout, err)
		}
		time.Sleep(askEvery)
	}
}

// portNumbers reads a comma list of ports.
func portNumbers(list string) (ports []uint16, err error) {
	for _, s := range strings.Split(list, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("port %q", s)
		}
		ports = append(ports, uint16(n))
	}
	return ports, nil
}

// waitClosed asks until nobody listens at any of the ports or the time is over. It asks at least once.
func waitClosed(ports []uint16, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	for {
		port, err := intercept.Listening(ports)
		if port == 0 || err != nil {
			return err
		}
		if !time.Now().Add(closedEvery).Before(deadline) {
			return fmt.Errorf("port %d was still open after %s", port, timeout)
		}
		time.Sleep(closedEvery)
	}
}

// askReady asks GET /readyz once. The request is written by hand: one line to send and one to read are no reason to link an HTTP
// client.
func askReady(address string) error {
	conn, err := net.DialTimeout("tcp", address, askTimeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(askTimeout)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "GET /readyz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", address); err != nil {
		return err
	}
	status, err := bufio.NewReader(conn).ReadString('\n')
	switch {
	case err != nil:
		return err
	case strings.HasPrefix(status, "HTTP/1.1 200 "):
		return nil
	}
	return fmt.Errorf("%w: %s", errNotReady, strings.TrimSpace(status))
}
