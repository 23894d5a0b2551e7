// Package suites names the modules whose own tests are run through the sidecar. It stands in a module of its own, so that what they
// need is no dependency of the project.
package suites

import (
	_ "github.com/google/go-cmp/cmp" // by their tests
	_ "github.com/gorilla/websocket"
	_ "golang.org/x/net/http2"
	_ "golang.org/x/net/websocket"
	_ "gonum.org/v1/gonum/stat/distuv" // by their tests
	_ "google.golang.org/grpc/balancer/grpclb"
	_ "google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/interop"
	_ "google.golang.org/grpc/orca"
	_ "google.golang.org/grpc/stats"
)
