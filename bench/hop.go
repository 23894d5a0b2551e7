package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// headerRequestID is the one header that the services of the mesh forward: they know nothing of tracing.
const headerRequestID = "X-Request-Id"

// Hop is a service of the mesh: it asks next what it is asked itself and answers with what comes back. It returns when ctx ends.
func Hop(ctx context.Context, listen, next string) error {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("service: %w", err)
	}
	client := &fasthttp.HostClient{Addr: next, MaxConns: 4096, MaxIdleConnDuration: time.Hour, ReadTimeout: 30 * time.Second}
	server := &fasthttp.Server{
		Name: "hop", ReadBufferSize: 16 << 10,
		Handler: func(c *fasthttp.RequestCtx) { forward(c, client, next) },
	}
	stopped := context.AfterFunc(ctx, func() { _ = listener.Close() }) // ends Serve
	defer stopped()
	if err := server.Serve(listener); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("service: %w", err)
	}
	return nil
}

// forward passes one request on and its answer back.
func forward(c *fasthttp.RequestCtx, client *fasthttp.HostClient, next string) {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.SetRequestURI("http://" + next + string(c.RequestURI()))
	if id := c.Request.Header.Peek(headerRequestID); len(id) > 0 {
		request.Header.SetBytesV(headerRequestID, id)
	}
	if err := client.Do(request, response); err != nil {
		c.Error("what this service calls failed: "+err.Error(), fasthttp.StatusBadGateway)
		return
	}
	c.SetStatusCode(response.StatusCode())
	c.SetContentTypeBytes(response.Header.ContentType())
	c.SetBody(response.Body())
}
