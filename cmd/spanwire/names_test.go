package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// zipkinSpan is what the tests look at in a span.
type zipkinSpan struct {
	TraceID string            `json:"traceId"`
	Name    string            `json:"name"`
	Tags    map[string]string `json:"tags"`
}

// keeper is a Zipkin that keeps what it is sent.
type keeper struct {
	endpoint string
	mu       sync.Mutex
	spans    []zipkinSpan
}

func newKeeper(t *testing.T) *keeper {
	t.Helper()
	k := &keeper{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var list []zipkinSpan
		if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
			t.Errorf("collector: %v", err)
		}
		k.mu.Lock()
		k.spans = append(k.spans, list...)
		k.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(s.Close)
	k.endpoint = s.URL + "/api/v2/spans"
	return k
}

// await returns the spans when there are n.
func (k *keeper) await(p *process, n int) []zipkinSpan {
	p.Await("spans to arrive", func() bool { k.mu.Lock(); defer k.mu.Unlock(); return len(k.spans) >= n })
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.spans)
}

// names returns the names of the spans, sorted.
func names(spans []zipkinSpan) (list []string) {
	for _, s := range spans {
		list = append(list, s.Name)
	}
	slices.Sort(list)
	return list
}

// TestDescriptionNamesOperations takes the description by each of the ways in which a setting comes.
func TestDescriptionNamesOperations(t *testing.T) {
	dir := t.TempDir()
	file, config := filepath.Join(dir, "api.yaml"), filepath.Join(dir, "config.yaml")
	description := "openapi: 3.0.3\nservers:\n  - url: https://shop.example/v1\npaths:\n  /pets/{petName}: {}\n  /pets/mine: {}\n"
	for path, text := range map[string]string{file: description, config: "openapi: " + file + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ env, args []string }{
		"flag":     {nil, []string{"--openapi", file}},
		"variable": {[]string{"SPANWIRE_OPENAPI=" + file}, nil},
		"file":     {nil, []string{"--config", config}},
	} {
		k := newKeeper(t)
		p := launch(t, c.env, append([]string{"--service-name", "svc", "--inbound", "127.0.0.1:0=" + application(t), "--admin", "off",
			"--zipkin-endpoint", k.endpoint}, c.args...)...)
		p.AwaitLog("paths=2")
		for _, path := range []string{"/v1/pets/rex", "/v1/pets/mine", "/v1/pets/rex/toys/7", "/pets/rex"} {
			if status, _ := p.get(p.Inbound, path); status != 200 {
				t.Fatalf("%s: %d", path, status)
			}
		}
		want := []string{"get /pets/{petname}", "get /v1/pets/mine", "get /v1/pets/rex/toys/{id}", "get /v1/pets/{petname}"}
		if got := names(k.await(p, 4)); !slices.Equal(got, want) {
			t.Errorf("%s: names %q, want %q", name, got, want)
		}
		p.Signal(syscall.SIGTERM)
		p.Exit(0)
	}
}

// A wrong description is one warning that names the setting and the file; the sidecar runs, and names are folded.
func TestWrongDescriptionIsOneWarning(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, says string }{
		"absent.yaml":  {"", "no such file"},
		"swagger.yaml": {"swagger: \"2.0\"\npaths:\n  /a: {}\n", "want an OpenAPI 3 description"},
		"broken.json":  {`{"openapi": "3.0.0", "paths": {`, "want JSON or YAML"},
		"partly.yaml":  {"openapi: 3.0.0\npaths:\n  /a: {}\n  b: {}\n  c: {}\n", "left_out=2"},
	} {
		file := filepath.Join(dir, name)
		if c.text != "" {
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		k := newKeeper(t)
		p := beside(t, application(t), "--zipkin-endpoint", k.endpoint, "--openapi", file)
		if status, _ := p.get(p.Inbound, "/users/7"); status != 200 {
			t.Fatalf("%s: %d", name, status)
		}
		if got := names(k.await(p, 1)); got[0] != "get /users/{id}" {
			t.Errorf("%s: named %q", name, got)
		}
		var warnings []string
		for line := range strings.SplitSeq(p.Log.String(), "\n") {
			if strings.Contains(line, "level=WARN") {
				warnings = append(warnings, line)
			}
		}
		if len(warnings) != 1 || !strings.Contains(warnings[0], "--openapi") || !strings.Contains(warnings[0], file) ||
			!strings.Contains(warnings[0], c.says) {
			t.Errorf("%s: warnings %q", name, warnings)
		}
		p.Signal(syscall.SIGTERM)
		p.Exit(0)
	}
}

// The id that a person reads in the response is that of the trace, whose span has the tags that were asked for and none of the secrets.
func TestTraceIsFoundByTheResponse(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Cache", "HIT") }))
	t.Cleanup(app.Close)
	k := newKeeper(t)
	p := launch(t, []string{"SPANWIRE_TAG_HEADER=X-Tenant:tenant,X-Cache", "HTTP_COOKIE_TAG_MAP=exp:experiment"},
		"--service-name", "svc", "--inbound", "127.0.0.1:0="+app.Listener.Addr().String(), "--admin", "off", "--compat", "none",
		"--zipkin-endpoint", k.endpoint, "--exporter", "zipkin", "--trace-response-header", "X-Trace-Id", "--redact-query", "email")
	r, err := http.NewRequest(http.MethodGet, "http://"+p.Inbound+"/x?email=a&page=2&token=t", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Tenant", "acme")
	r.Header.Set("Cookie", "exp=blue; sid=S3CR3T")
	r.Header.Set("Authorization", "Bearer S3CR3T")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	s := k.await(p, 1)[0]
	if id := res.Header.Values("X-Trace-Id"); len(id) != 1 || id[0] != s.TraceID {
		t.Errorf("X-Trace-Id %q, trace %s", id, s.TraceID)
	}
	for tag, want := range map[string]string{"tenant": "acme", "X-Cache": "HIT", "experiment": "blue"} {
		if s.Tags[tag] != want {
			t.Errorf("tag %s: %q, want %q", tag, s.Tags[tag], want)
		}
	}
	all := ""
	for tag, v := range s.Tags {
		all += tag + "=" + v + "\n"
	}
	if strings.Contains(all, "S3CR3T") || !strings.Contains(all, "email=REDACTED&page=2&token=REDACTED") {
		t.Errorf("tags:\n%s", all)
	}
}
