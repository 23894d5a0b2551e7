package settings

import "testing"

func TestMetricSettings(t *testing.T) {
	for _, c := range []struct {
		name          string
		args, environ []string
		get           func(*Config) any
		want          any
	}{
		{"off", nil, nil, func(c *Config) any { return c.MetricsOperations || c.Statsd != "" || c.AccessLog.On() }, false},
		{"peers include operations", []string{"--metrics-peers"}, nil, func(c *Config) any { return c.MetricsOperations }, true},
		{"Netramesh's statsd", nil, []string{"NETRA_STATSD_ENABLED=true"}, statsdOf, "localhost:8125"},
		{"its address", nil, []string{"NETRA_STATSD_ENABLED=true", "NETRA_STATSD_ADDRESS=gate:9125"}, statsdOf, "gate:9125"},
		{"its address alone", nil, []string{"NETRA_STATSD_ADDRESS=gate:9125"}, statsdOf, ""},
		{"switched off", nil, []string{"NETRA_STATSD_ENABLED=false", "NETRA_STATSD_ADDRESS=gate:9125"}, statsdOf, ""},
		{"the flag wins", []string{"--statsd", "off"}, []string{"NETRA_STATSD_ENABLED=true"}, statsdOf, ""},
		{"prefix", nil, []string{"NETRA_STATSD_PREFIX=shop"}, func(c *Config) any { return c.StatsdPrefix }, "shop"},
		{"text", []string{"--access-log", "text"}, nil, accessLogOf, AccessLog{Stdout: true}},
		{"JSON", []string{"--access-log", "json"}, nil, accessLogOf, AccessLog{Stdout: true, JSON: true}},
		{"file", []string{"--access-log", "./a.log"}, nil, accessLogOf, AccessLog{File: "./a.log"}},
		{"file of JSON by its name", []string{"--access-log", "/var/log/a.json"}, nil, accessLogOf, AccessLog{File: "/var/log/a.json", JSON: true}},
		{"file of JSON", []string{"--access-log", "./a.log", "--access-log-format", "json"}, nil, accessLogOf, AccessLog{File: "./a.log", JSON: true}},
		{"file of text whatever its name", []string{"--access-log", "./a.json", "--access-log-format", "text"}, nil, accessLogOf, AccessLog{File: "./a.json"}},
		{"no log", []string{"--access-log", "off"}, []string{"SPANWIRE_ACCESS_LOG=text"}, accessLogOf, AccessLog{}},
	} {
		l, err := named(t, c.args, c.environ, "")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := c.get(&l.Config); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func statsdOf(c *Config) any    { return c.Statsd }
func accessLogOf(c *Config) any { return c.AccessLog }
