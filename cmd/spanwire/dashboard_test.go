package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	program "github.com/spanwire/spanwire/internal/sidecar"
)

const dashboardFile = "../../deploy/grafana/spanwire.json"

// targetLabels are what Prometheus adds to every series that it scrapes.
var targetLabels = []string{"job", "instance"}

// promWords are the words of PromQL that the dashboard may use: functions, aggregations, modifiers.
var promWords = []string{"sum", "rate", "by", "topk", "max", "count", "histogram_quantile", "label_values"}

var (
	promString   = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	promMatchers = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)\{([^{}]*)\}`)
	promBy       = regexp.MustCompile(`\bby \(([^()]*)\)`)
	promIdent    = regexp.MustCompile(`\$?[a-zA-Z_][a-zA-Z0-9_]*`)
	promRange    = regexp.MustCompile(`\[[^\]]*\]`)
	legendLabel  = regexp.MustCompile(`\{\{(.*?)\}\}`)
	seriesName   = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)`)
	seriesLabel  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="`)
)

// query is what one query of the dashboard asks for.
type query struct {
	metrics []string
	labels  []string // in matchers and in by (...)
	unknown []string // words that are none of PromQL that is known here
}

// readQuery takes a query of PromQL apart. Strings go first, since they bear anything.
func readQuery(expr string) (q query) {
	expr = promRange.ReplaceAllString(promString.ReplaceAllString(expr, ""), "")
	for _, m := range promMatchers.FindAllStringSubmatch(expr, -1) {
		for _, matcher := range strings.Split(m[2], ",") {
			q.labels = append(q.labels, promIdent.FindString(matcher))
		}
	}
	expr = promMatchers.ReplaceAllString(expr, "$1")
	for _, m := range promBy.FindAllStringSubmatch(expr, -1) {
		for _, label := range strings.Split(m[1], ",") {
			q.labels = append(q.labels, strings.TrimSpace(label))
		}
	}
	expr = promBy.ReplaceAllString(expr, "by")
	if inside, ok := strings.CutPrefix(expr, "label_values("); ok {
		metric, label, _ := strings.Cut(strings.TrimSuffix(inside, ")"), ",")
		return query{metrics: []string{metric}, labels: append(q.labels, strings.TrimSpace(label))}
	}
	for _, word := range promIdent.FindAllString(expr, -1) {
		switch {
		case slices.Contains(promWords, word):
		case strings.Contains(word, "_"):
			q.metrics = append(q.metrics, word)
		default:
			q.unknown = append(q.unknown, word)
		}
	}
	return q
}

func TestReadQuery(t *testing.T) {
	q := readQuery(`topk(5, sum by (a, le) (rate(m_total{b="{x}, y",c=~"$d"}[$__rate_interval]))) / sum(n_bytes) > 0`)
	if !slices.Equal(q.metrics, []string{"m_total", "n_bytes"}) || !slices.Equal(q.labels, []string{"b", "c", "a", "le"}) || q.unknown != nil {
		t.Errorf("%+v", q)
	}
	if q = readQuery(`quantile(m_total)`); !slices.Equal(q.unknown, []string{"quantile"}) {
		t.Errorf("%+v", q)
	}
}

// dashboard is what of a Grafana dashboard is looked at.
type dashboard struct {
	Templating struct {
		List []struct {
			Definition string `json:"definition"`
		} `json:"list"`
	} `json:"templating"`
	Panels []struct {
		Title   string `json:"title"`
		Targets []struct {
			Expr   string `json:"expr"`
			Legend string `json:"legendFormat"`
		} `json:"targets"`
	} `json:"panels"`
}

// scrapeOfEverything returns the labels of every series by name, from a sidecar with everything on that has seen requests on both sides.
func scrapeOfEverything(t *testing.T) map[string][]string {
	t.Helper()
	app := application(t)
	p := beside(t, app, "--outbound", "127.0.0.1:0="+app, "--metrics-peers", "--verify", "--statsd", "127.0.0.1:9", "--access-log",
		filepath.Join(t.TempDir(), "access.log"), "--exporter", "log,zipkin", "--zipkin-endpoint", "http://"+program.Refusing(t))
	p.get(p.Inbound, "/in")
	req, err := http.NewRequest(http.MethodGet, "http://"+p.Outbound+"/out", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "cart.example"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	_, text := p.get(p.Admin, "/metrics")
	series := map[string][]string{}
	for _, line := range strings.Split(text, "\n") {
		if name := seriesName.FindString(line); name != "" {
			labels := slices.Clone(targetLabels)
			for _, m := range seriesLabel.FindAllStringSubmatch(line, -1) {
				labels = append(labels, m[1])
			}
			series[name] = append(series[name], labels...)
		}
	}
	return series
}

// TestDashboardAsksForWhatThereIs holds every query of the dashboard against a real scrape.
func TestDashboardAsksForWhatThereIs(t *testing.T) {
	data, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	series := scrapeOfEverything(t)
	queries := 0
	check := func(title, expr, legend string) {
		queries++
		q := readQuery(expr)
		if len(q.metrics) == 0 || len(q.unknown) > 0 {
			t.Errorf("%s: %s: no metric, or words that this test does not know: %q", title, expr, q.unknown)
		}
		for _, m := range q.metrics {
			if series[m] == nil {
				t.Errorf("%s: there is no metric %s", title, m)
			}
			for _, label := range q.labels {
				if !slices.Contains(series[m], label) {
					t.Errorf("%s: %s has no label %s", title, m, label)
				}
			}
		}
		for _, m := range legendLabel.FindAllStringSubmatch(legend, -1) {
			if !slices.Contains(q.labels, m[1]) {
				t.Errorf("%s: the legend names %s, which the query leaves out", title, m[1])
			}
		}
	}
	for _, v := range d.Templating.List {
		if v.Definition != "" {
			check("variable", v.Definition, "")
		}
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			check(p.Title, target.Expr, target.Legend)
		}
	}
	if queries < 30 {
		t.Errorf("%d queries: is the dashboard all there?", queries)
	}
}

// TestDocumentationNamesEveryMetric compares docs/metrics.md with a real scrape, both ways.
func TestDocumentationNamesEveryMetric(t *testing.T) {
	data, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	series := scrapeOfEverything(t)
	for name := range series {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, suffix)
		}
		if strings.HasPrefix(name, "spanwire_") && !strings.Contains(string(data), "`"+name+"`") {
			t.Errorf("docs/metrics.md does not name %s", name)
		}
	}
	for _, name := range regexp.MustCompile("`(spanwire_[a-z_]+)`").FindAllStringSubmatch(string(data), -1) {
		if series[name[1]] == nil && series[name[1]+"_count"] == nil {
			t.Errorf("docs/metrics.md names %s, which is not there", name[1])
		}
	}
	// Whoever comes from Istio finds what they had.
	for _, name := range []string{"istio_requests_total", "istio_request_duration_milliseconds", "istio_request_bytes", "istio_response_bytes"} {
		if !regexp.MustCompile("(?m)^\\| .*`" + name + "`.* \\| `spanwire_").Match(data) {
			t.Errorf("docs/metrics.md does not say what stands for %s", name)
		}
	}
}
