package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/spanwire/spanwire/settings"
)

const (
	defaultWait = 30 * time.Second
	// askEvery is how often a sidecar that is not ready is asked again; askTimeout bounds one question.
	askEvery   = 50 * time.Millisecond
	askTimeout = time.Second
)

// errNotReady: the sidecar answered that it is not ready.
var errNotReady = errors.New("not ready")

func waitCommand(environ []string) *cli.Command {
	return &cli.Command{
		Name:  "wait",
		Usage: "return once a sidecar on this host is ready",
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "timeout", Value: defaultWait, Usage: "end with code 1 after this time"},
			&cli.StringFlag{Name: "address", Usage: "ask at this HOST:PORT (default: where --admin, or else --metrics, of the environment is)"},
		},
		CustomHelpTemplate: literal(`Usage: spanwire wait [flags]

Returns once a sidecar on this host is ready, or with code 1 when the time is over.

  --timeout DURATION
        how long to wait (default: 30s)
  --address HOST:PORT
        where its admin or metrics listener is (default: what SPANWIRE_ADMIN or SPANWIRE_METRICS says, else 127.0.0.1:14957)
`),
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
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
			if c.Duration("timeout") < 0 {
				return usageError{fmt.Errorf("--timeout %q: want a duration, such as 30s", c.Duration("timeout"))}
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
