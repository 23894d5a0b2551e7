package loadtest

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestValidate_NamesFlagValueAndAllowed(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"rate zero", func(c *Config) { c.Rate = 0 }, []string{"--rate", "0", "0.01 to 10000000"}},
		{"rate in a closed loop", func(c *Config) { c.Closed = true }, []string{"--rate", "1000", "--closed"}},
		{"poisson in a closed loop", func(c *Config) { c.Closed, c.Rate, c.Arrivals = true, 0, Poisson }, []string{"--arrivals", "poisson"}},
		{"no connection", func(c *Config) { c.Connections = 0 }, []string{"--connections", "1 to 60000"}},
		{"no time", func(c *Config) { c.Duration = 0 }, []string{"--duration", "0s"}},
		{"negative warm-up", func(c *Config) { c.Warmup = -time.Second }, []string{"--warmup", "-1s"}},
		{"method", func(c *Config) { c.Method = "G T" }, []string{"--method", "G T"}},
		{"body twice", func(c *Config) { c.Body, c.BodySize = []byte("x"), 1 }, []string{"--body-size", "--body-file"}},
		{"tcp without size", func(c *Config) { c.TCP, c.URL = true, "localhost:1" }, []string{"--body-size", "1 or more"}},
		{"pipeline", func(c *Config) { c.Pipeline = 0 }, []string{"--pipeline", "1 to 1024"}},
		{"pipeline and no keep-alive", func(c *Config) { c.Pipeline, c.NoKeepalive = 2, true }, []string{"--pipeline", "--no-keepalive"}},
		{"timeout", func(c *Config) { c.Timeout = time.Hour }, []string{"--timeout", "1h0m0s", "10m"}},
		{"status", func(c *Config) { c.ExpectStatus = []int{200, 99} }, []string{"--expect-status", "99"}},
		{"header of two lines", func(c *Config) { c.Headers = []Header{{"A", "b\r\nC: d"}} }, []string{"--header", "one line"}},
		{"header that frames", func(c *Config) { c.Headers = []Header{{"content-length", "1"}} }, []string{"--header", "content-length"}},
		{"https", func(c *Config) { c.URL = "https://localhost/" }, []string{"target", "https://localhost/", "http://"}},
		{"tcp with path", func(c *Config) { c.TCP, c.BodySize, c.URL = true, 1, "localhost:1/x" }, []string{"target", "host:port"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := DefaultConfig("http://localhost:1/")
			c.change(&config)
			err := config.Validate()
			if !errors.Is(err, ErrConfig) {
				t.Fatalf("error %v", err)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

func TestParseTarget_Forms(t *testing.T) {
	for raw, want := range map[string]target{
		"http://a:81/b?c=d": {"a:81", "a:81", "/b?c=d"},
		"http://a":          {"a", "a:80", "/"},
		"a:81":              {"a:81", "a:81", "/"},
		"http://[::1]/x":    {"[::1]", "[::1]:80", "/x"},
	} {
		if got, err := parseTarget(raw, false); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", raw, got, err, want)
		}
	}
}

func TestBuildTraffic_RequestBytes(t *testing.T) {
	c := DefaultConfig("http://a:81/b")
	c.Method, c.Body, c.Pipeline = "POST", []byte("123456789"), 3
	c.Headers = []Header{{"User-Agent", "me"}, {"X-Y", "z"}}
	one := "POST /b HTTP/1.1\r\nHost: a:81\r\nUser-Agent: me\r\nX-Y: z\r\nContent-Length: 9\r\nX-Body-Hash: crc32c=e3069283\r\n\r\n123456789"
	traffic := buildTraffic(&c, target{"a:81", "a:81", "/b"})
	if got := string(traffic.of(5)); got != one+one+one || traffic.unit != len(one) {
		t.Errorf("%q", got)
	}
}

func TestBuildTraffic_SeedDecidesBytes(t *testing.T) {
	build := func(seed uint64, slot int) []byte {
		c := DefaultConfig("a:1")
		c.TCP, c.BodySize, c.Seed = true, 1000, seed
		return buildTraffic(&c, target{}).of(slot)
	}
	if !bytes.Equal(build(1, 3), build(1, 3)) {
		t.Error("equal seeds, different messages")
	}
	if bytes.Equal(build(1, 3), build(2, 3)) {
		t.Error("different seeds, equal messages")
	}
	if bytes.Equal(build(1, 3), build(1, 4)) {
		t.Error("two connections send the same: crossed wires would not show")
	}
}
