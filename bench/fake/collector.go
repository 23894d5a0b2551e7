package fake

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"

	"github.com/spanwire/spanwire/loadtest/sink"
)

// collector is `spanload sink` that writes down what changes it.
func collector(log string, args []string) error {
	s, err := sink.Start(sink.Options{Listen: value(args, "--listen"), Control: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	control := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: s.ControlAddress()})
	return http.ListenAndServe(value(args, "--control"), http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method != http.MethodGet {
			_, _ = fmt.Fprintln(file, q.URL.RequestURI())
		}
		control.ServeHTTP(w, q)
	}))
}
