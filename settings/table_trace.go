package settings

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spanwire/spanwire/core/trace"
)

// propagators are the formats of trace context, in the order of their default.
var propagators = [...]string{"tracecontext", "b3", "b3multi", "jaeger"}

func contextRows() []Setting {
	return []Setting{
		{
			Name: "propagators", Section: SectionContext, Value: "LIST", form: list,
			Help:        "formats of trace context: read in this order, the first always written, the others where present",
			Allowed:     "tracecontext, b3, b3multi, jaeger, separated by commas",
			compatible:  []compatible{otelWords("OTEL_PROPAGATORS", propagators[:]...)},
			defaultNote: "`tracecontext,b3,b3multi,jaeger`; `jaeger` first with `--compat netramesh`",
			computed: func(l *loader) ([]string, string) {
				return l.byCompat(propagators[:], "jaeger", "tracecontext", "b3", "b3multi")
			},
			set: func(c *Config, values []string) error {
				values = unique(values)
				if len(values) == 0 {
					return &badValue{}
				}
				return each(oneOf(propagators[:]...), func(c *Config, v []string) { c.Propagators = v })(c, values)
			},
		},
		{
			Name: "no-inject", Section: SectionContext, Value: "HOST|CIDR", form: repeated,
			Help:    "outbound requests there get a span, but no header; *.DOMAIN for all names below",
			Allowed: "a host name, *.DOMAIN, an IP address or a CIDR",
			set:     each(parseNoInject, func(c *Config, v []string) { c.NoInject = v }),
		},
		{
			Name: "disabled", Section: SectionContext, form: boolean,
			Help:       "relay only: nothing is parsed, no span is made",
			Allowed:    "true or false",
			compatible: []compatible{otelBoolean("OTEL_SDK_DISABLED"), plain("JAEGER_DISABLED")},
			set:        one(parseSwitch, func(c *Config, v bool) { c.Disabled = v }),
		},
		{
			Name: "request-id-header", Section: SectionContext, Value: "NAME",
			Help:       "header that joins outbound requests to the inbound one; made when absent",
			Allowed:    "the name of a header",
			compatible: []compatible{plain("NETRA_HTTP_REQUEST_ID_HEADER_NAME")},
			fixed:      []string{trace.DefaultRequestIDHeader},
			set:        one(parseToken, func(c *Config, v string) { c.RequestIDHeader = v }),
		},
		{
			Name: "join-ttl", Section: SectionContext, Value: "DURATION",
			Help:       "how long a request id is remembered after its last use",
			Allowed:    "a duration from 1ms to 24h, such as 5s",
			compatible: []compatible{netraExpiration("NETRA_TRACING_CONTEXT_EXPIRATION_MILLISECONDS")},
			fixed:      []string{trace.DefaultJoinTTL.String()},
			set:        one(duration(time.Millisecond, 24*time.Hour), func(c *Config, v time.Duration) { c.JoinTTL = v }),
		},
		{
			Name: "join-size", Section: SectionContext, Value: "N",
			Help:    "how many request ids are remembered",
			Allowed: "a whole number from 1 to 16777216",
			fixed:   []string{"65536"},
			set:     one(number(1, 1<<24), func(c *Config, v int) { c.JoinSize = v }),
		},
		{
			Name: "trace-response-header", Section: SectionContext, Value: "NAME",
			Help:    "header that bears the trace id in responses, for whoever asks with curl",
			Allowed: "the name of a header, none of framing, caching or the like",
			set:     one(parseToken, func(c *Config, v string) { c.TraceResponseHeader = v }),
		},
	}
}

func spanRows() []Setting {
	return []Setting{
		{
			Name: "naming", Section: SectionSpans, Value: "SCHEME",
			Help:        "names of operations: otel, METHOD and path; netra, path or host and path",
			Allowed:     "otel or netra",
			defaultNote: "`otel`; `netra` with `--compat netramesh`",
			computed:    func(l *loader) ([]string, string) { return l.byCompat([]string{"otel"}, "netra") },
			set:         one(oneOf("otel", "netra"), func(c *Config, v string) { c.Naming = v }),
		},
		{
			Name: "ignore-path", Section: SectionSpans, Value: "PATTERN", form: repeated,
			Help:       "paths without a span: exact, or with * for anything",
			Allowed:    "a path, or a pattern with *",
			compatible: []compatible{commaList("NETRA_HTTP_TRACING_IGNORED_PATHS")},
			set:        each(parseText, func(c *Config, v []string) { c.IgnorePaths = v }),
		},
		{
			Name: "ignore-agent", Section: SectionSpans, Value: "PATTERN", form: repeated,
			Help:    "user agents whose requests get no span, such as kube-probe/*",
			Allowed: "a user agent, or a pattern with *",
			set:     each(parseText, func(c *Config, v []string) { c.IgnoreAgents = v }),
		},
		{
			Name: "fold-path", Section: SectionSpans, Value: "REGEXP[=>REPLACEMENT]", form: repeatedSemicolon,
			Help:        "rule that folds what it matches in a path into one operation; in order",
			Allowed:     "REGEXP or REGEXP=>REPLACEMENT, RE2 syntax",
			compatible:  []compatible{netraFold()},
			defaultNote: "none; `REPLACEMENT` is `/{id}` when the expression starts with `/`, else `{id}`",
			set:         each(parseFold, func(c *Config, v []string) { c.FoldPaths = v }),
		},
		{
			Name: "fold", Section: SectionSpans, Value: "MODE",
			Help:        "auto: fold identifiers in paths by fixed rules, after --fold-path",
			Allowed:     "auto or off",
			defaultNote: "`auto`; `off` with `--compat netramesh`",
			computed:    func(l *loader) ([]string, string) { return l.byCompat([]string{"auto"}, off) },
			set:         one(oneOf("auto", off), func(c *Config, v string) { c.Fold = v }),
		},
		{
			Name: "openapi", Section: SectionSpans, Value: "FILE",
			Help:    "the application's OpenAPI 3 description, JSON or YAML: its path templates name inbound operations, before any folding",
			Allowed: "the name of a file",
			set:     one(parseText, func(c *Config, v string) { c.OpenAPI = v }),
		},
		{
			Name: "max-operations", Section: SectionSpans, Value: "N",
			Help:    "distinct names of operations; those beyond are {other}",
			Allowed: "a whole number from 1 to 1000000",
			fixed:   []string{"1000"},
			set:     one(number(1, 1e6), func(c *Config, v int) { c.MaxOperations = v }),
		},
		{
			Name: "tag-schema", Section: SectionSpans, Value: "SCHEMA",
			Help:        "names of tags",
			Allowed:     "otel, zipkin or netra",
			defaultNote: "`otel`; `netra` with `--compat netramesh`",
			computed:    func(l *loader) ([]string, string) { return l.byCompat([]string{"otel"}, "netra") },
			set:         one(oneOf("otel", "zipkin", "netra"), func(c *Config, v string) { c.TagSchema = v }),
		},
		{
			Name: "tag-header", Section: SectionSpans, Value: "NAME[:tag]", form: repeated,
			Help:       "header of the request or the response that becomes a tag of inbound spans",
			Allowed:    "NAME or NAME:tag",
			compatible: []compatible{netraTags("HTTP_HEADER_TAG_MAP", true)},
			set:        each(parseTag, func(c *Config, v []string) { c.TagHeaders = v }),
		},
		{
			Name: "tag-cookie", Section: SectionSpans, Value: "NAME[:tag]", form: repeated,
			Help:       "cookie, sent or set, that becomes a tag of inbound spans",
			Allowed:    "NAME or NAME:tag",
			compatible: []compatible{netraTags("HTTP_COOKIE_TAG_MAP", false)},
			set:        each(parseTag, func(c *Config, v []string) { c.TagCookies = v }),
		},
		{
			Name: "redact-query", Section: SectionSpans, Value: "LIST", form: list,
			Help:        "values of the query that spans do not show: all, none, or names beside those that look like secrets",
			Allowed:     "all, none, or names of parameters separated by commas (none,NAME,… for those alone)",
			defaultNote: "names that look like secrets: token, key, password, signature, code, session and the like",
			set:         setRedactQuery,
		},
	}
}

// unique leaves out repetitions.
func unique(values []string) []string {
	var out []string
	for _, v := range values {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// errAllOrNone: all stands alone, and none only before names.
var errAllOrNone = errors.New("all goes with nothing else, and none comes first")

// setRedactQuery reads what of the query to leave out.
func setRedactQuery(c *Config, values []string) error {
	values = unique(values)
	for i, v := range values {
		if v == "all" && len(values) > 1 || v == "none" && i > 0 {
			return bad(strings.Join(values, ","), errAllOrNone)
		}
	}
	return each(parseText, func(c *Config, v []string) { c.RedactQuery = v })(c, values)
}
