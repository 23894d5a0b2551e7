package peer

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spanwire/spanwire/bench/proc"
)

// SmallBytes, KiB64 and MiB are the sizes of the bodies that the upstream answers with.
const (
	SmallBytes = 200
	KiB64      = 64 << 10
	MiB        = 1 << 20
)

// Paths of the upstream.
const (
	PathSmall  = "/"
	Path64K    = "/64k"
	Path1M     = "/1m"
	PathStatus = "/-/status" // nginx's counts
)

// SmallBody is the body that the upstream answers PathSmall with.
func SmallBody() []byte { return bytes.Repeat([]byte("spanwire! "), SmallBytes/10) }

// Body returns the body that the upstream answers a path with; nil for a path that it does not have.
func Body(path string) []byte {
	switch path {
	case PathSmall:
		return SmallBody()
	case Path64K:
		return bytes.Repeat(SmallBody()[:1], KiB64)
	case Path1M:
		return bytes.Repeat(SmallBody()[:1], MiB)
	}
	return nil
}

// upstreamView is what the upstream's template sees.
type upstreamView struct {
	Listen, Dir, Body string
	Connections       int
}

// StartUpstream starts an nginx that answers at once: one process, no log.
func StartUpstream(g *proc.Group, tools Tools, dir, listen string, cpus []int) (*proc.Process, error) {
	path, err := tools.Find(Nginx)
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("start upstream: %w", err)
	}
	root := filepath.Join(dir, "www")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("start upstream: %w", err)
	}
	conf, err := render("upstream.conf", upstreamView{Listen: listen, Dir: dir, Body: string(SmallBody()), Connections: 2 * connectionsMax})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "upstream.conf")
	for name, content := range map[string][]byte{
		file:                         conf,
		filepath.Join(root, Path64K): Body(Path64K),
		filepath.Join(root, Path1M):  Body(Path1M),
	} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			return nil, fmt.Errorf("start upstream: %w", err)
		}
	}
	return g.Start(proc.Spec{Name: "upstream", Path: path, Args: nginxArgs(dir, file), CPUs: cpus})
}
