package intercept

import (
	"fmt"
	"os"
	"slices"
)

// Listening returns the first of the ports that somebody listens at in this network namespace, at whatever address, 0 for none.
func Listening(ports []uint16) (port uint16, err error) {
	if _, err := os.Stat("/proc/self/net/tcp"); err != nil {
		return 0, fmt.Errorf("look who listens: %w", err)
	}
	sockets(func(s socketLine) {
		if port == 0 && s.state == stateListen && slices.Contains(ports, s.local.Port()) {
			port = s.local.Port()
		}
	})
	return port, nil
}
