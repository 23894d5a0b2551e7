// Command service is one of the demo's three services. It knows nothing of tracing: standard library only, and of the headers it
// receives it passes on X-Request-Id and no other, as many an application's logging already makes it do.
//
//	frontend  GET /checkout/{id}   asks cart
//	cart      GET /cart/{id}       asks pricing for two prices at once, then for a coupon, and does without when that fails
//	pricing   GET /price/{item}    answers
//	          POST /coupons/{code} fails with 503
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// inheritedListener is the descriptor of a listening socket that the parent process left open, the first after the standard ones.
const inheritedListener = 3

// workTime is what answering a price takes, so that parallel calls overlap visibly.
const workTime = 8 * time.Millisecond

func main() {
	name := flag.String("name", "", "which service to be: frontend, cart or pricing")
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on; `inherited`: a listening socket is descriptor 3")
	next := flag.String("next", "", "base `URL` of the service asked by this one")
	flag.Parse()
	if err := serve(*name, *listen, strings.TrimSuffix(*next, "/")); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", *name, err)
		os.Exit(1)
	}
}

// serve answers until SIGINT or SIGTERM.
func serve(name, listen, next string) error {
	handler, err := newHandler(name, next)
	if err != nil {
		return err
	}
	l, err := openListener(listen)
	if err != nil {
		return err
	}
	fmt.Printf("%s listens on %s\n", name, l.Addr())

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	shutdown, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := server.Shutdown(shutdown); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// openListener listens on addr, or takes the inherited socket.
func openListener(addr string) (net.Listener, error) {
	if addr != "inherited" {
		return net.Listen("tcp", addr)
	}
	f := os.NewFile(inheritedListener, "listener")
	defer func() { _ = f.Close() }() // FileListener keeps a duplicate
	return net.FileListener(f)
}

// newHandler returns the routes of the service name.
func newHandler(name, next string) (http.Handler, error) {
	mux := http.NewServeMux()
	caller := &caller{base: next, client: &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second},
	}}
	switch name {
	case "frontend":
		mux.HandleFunc("GET /checkout/{id}", caller.checkout)
	case "cart":
		mux.HandleFunc("GET /cart/{id}", caller.cart)
	case "pricing":
		mux.HandleFunc("GET /price/{item}", price)
		mux.HandleFunc("POST /coupons/{code}", coupon)
	default:
		return nil, fmt.Errorf("no service %q: frontend, cart or pricing", name)
	}
	if name != "pricing" && next == "" {
		return nil, fmt.Errorf("--next is required")
	}
	return mux, nil
}

// caller calls the next service.
type caller struct {
	base   string
	client *http.Client
}

// answer is the outcome of a call.
type answer struct {
	status int
	body   []byte
	err    error
}

// ok reports whether the call succeeded.
func (a answer) ok() bool { return a.err == nil && a.status == http.StatusOK }

// call asks the next service; of r's headers it forwards X-Request-Id alone.
func (c *caller) call(r *http.Request, method, path string) answer {
	req, err := http.NewRequestWithContext(r.Context(), method, c.base+path, nil)
	if err != nil {
		return answer{err: err}
	}
	if id := r.Header.Get("X-Request-Id"); id != "" {
		req.Header.Set("X-Request-Id", id)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	return answer{status: resp.StatusCode, body: body, err: err}
}

// checkout is the frontend's page: the cart with a greeting.
func (c *caller) checkout(w http.ResponseWriter, r *http.Request) {
	cart := c.call(r, http.MethodGet, "/cart/"+r.PathValue("id"))
	if !cart.ok() {
		http.Error(w, fmt.Sprintf("cart: status %d, error %v", cart.status, cart.err), http.StatusBadGateway)
		return
	}
	reply(w, map[string]any{"order": r.PathValue("id"), "cart": json.RawMessage(cart.body)})
}

// cart asks for both prices at once, then for the coupon.
func (c *caller) cart(w http.ResponseWriter, r *http.Request) {
	items := [...]string{"apple", "pear"}
	var prices [len(items)]answer
	done := make(chan int)
	for i, item := range items {
		go func() {
			prices[i] = c.call(r, http.MethodGet, "/price/"+item)
			done <- i
		}()
	}
	for range items {
		<-done
	}
	for i, p := range prices {
		if !p.ok() {
			http.Error(w, fmt.Sprintf("price of %s: status %d, error %v", items[i], p.status, p.err), http.StatusBadGateway)
			return
		}
	}
	coupon := c.call(r, http.MethodPost, "/coupons/spring")
	reply(w, map[string]any{
		"id":     r.PathValue("id"),
		"apple":  json.RawMessage(prices[0].body),
		"pear":   json.RawMessage(prices[1].body),
		"coupon": coupon.ok(),
	})
}

// price answers after workTime.
func price(w http.ResponseWriter, r *http.Request) {
	time.Sleep(workTime)
	reply(w, map[string]any{"item": r.PathValue("item"), "cents": 10 * len(r.PathValue("item"))})
}

// coupon always fails: the demo's one failing call.
func coupon(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "coupons are closed for stocktaking", http.StatusServiceUnavailable)
}

// reply writes v as JSON. An error means that the caller has gone.
func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
