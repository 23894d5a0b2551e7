// Package port finds ports for the servers that tests, the demo and the benchmark start and that must be told where to listen.
package port

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports that Free gives out: below those that Linux gives to outgoing connections and to listeners that leave the choice to it
// (ip_local_port_range begins at 32768), or one of these could take the port before its server listens.
const (
	first = 16_000
	after = 32_000
	tries = 200
)

// given are the ports that this process was given: each once, though nobody listens there yet.
var given struct {
	sync.Mutex
	ports map[int]bool
}

// Free returns an address on host at which nobody listens at this moment, over TCP or UDP, and which Free did not return before. An empty
// host is every address.
func Free(host string) (string, error) {
	var err error
	for range tries {
		number := first + rand.IntN(after-first)
		address := net.JoinHostPort(host, strconv.Itoa(number))
		if err = unused(address); err == nil {
			if take(number) {
				return address, nil
			}
			err = fmt.Errorf("%s was given already", address)
		}
	}
	return "", fmt.Errorf("free port: none found in %d tries: %w", tries, err)
}

// unused returns an error if somebody listens at address.
func unused(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	return c.Close()
}

// take reports whether the port was not given before.
func take(number int) bool {
	given.Lock()
	defer given.Unlock()
	if given.ports[number] {
		return false
	}
	if given.ports == nil {
		given.ports = map[int]bool{}
	}
	given.ports[number] = true
	return true
}
