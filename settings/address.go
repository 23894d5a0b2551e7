package settings

import (
	"fmt"
	"net"
)

// AdminAddress returns where a sidecar with these variables can be asked whether it is ready: its admin listener, or its metrics
// listener where that is off.
func AdminAddress(environ []string) (string, error) {
	l := &loader{env: newEnvironment(environ), flags: NewFlags(), table: Table()}
	l.entries = make([]Entry, len(l.table))
	l.ranks = make([]rank, len(l.table))
	if err := l.openFile(); err != nil {
		return "", err
	}
	for _, name := range [...]string{"inbound", "outbound", "admin", "metrics"} {
		if err := l.given(l.index(name)); err != nil {
			return "", err
		}
	}
	for _, name := range [...]string{"admin", "metrics"} {
		if err := l.byDefault(l.index(name)); err != nil {
			return "", err
		}
	}
	address := l.config.Admin
	if address == "" {
		address = l.config.Metrics
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "0" {
		return "", fmt.Errorf("--address \"\": want HOST:PORT, since the sidecar's admin and metrics listeners have no known port")
	}
	if wildcard(host) {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}
