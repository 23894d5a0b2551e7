//go:build e2e

package transparency

import (
	"time"

	"github.com/spanwire/spanwire/internal/sidecar"
)

// serve starts a server as the suites' user and waits until it listens at address. It ends with the test.
func serve(env *loopback, address, name string, args ...string) {
	t := env.t
	t.Helper()
	cmd := env.command(t.Context(), nil, name, args...)
	var log sidecar.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Cancel() // fails only when it has ended
		_ = cmd.Wait()   // it was killed
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, tail(log.String()))
		}
	})
	awaitPort(t.Context(), t, address, 30*time.Second)
}
