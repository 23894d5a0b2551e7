package settings

import (
	"fmt"
	"net"
)

// AdminAddress returns where a sidecar with these variables can be asked whether it is ready: its admin listener, or its metrics
// listener where that is off.
func AdminAddress(environ []string) (string, error) {
	l, err := addresses(environ)
	if err != nil {
		return "", err
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

// OwnPorts returns the ports of the admin and the metrics listeners that the environment tells a sidecar to open; none is 0.
func OwnPorts(environ []string) ([]uint16, error) {
	l, err := addresses(environ)
	if err != nil {
		return nil, err
	}
	var ports []uint16
	for _, address := range [...]string{l.config.Admin, l.config.Metrics} {
		if _, text, err := net.SplitHostPort(address); err == nil {
			if port, err := parsePort(text, 1); err == nil {
				ports = append(ports, port)
			}
		}
	}
	return ports, nil
}

// addresses loads the settings that decide where the admin and the metrics listeners are.
func addresses(environ []string) (*loader, error) {
	l := &loader{env: newEnvironment(environ), flags: NewFlags(), table: Table()}
	l.entries = make([]Entry, len(l.table))
	l.ranks = make([]rank, len(l.table))
	if err := l.openFile(); err != nil {
		return nil, err
	}
	for _, name := range [...]string{"inbound", "outbound", "admin", "metrics"} {
		if err := l.given(l.index(name)); err != nil {
			return nil, err
		}
	}
	for _, name := range [...]string{"admin", "metrics"} {
		if err := l.byDefault(l.index(name)); err != nil {
			return nil, err
		}
	}
	return l, nil
}
