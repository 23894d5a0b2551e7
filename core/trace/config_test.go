package trace

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestSettingsThatAreRefused(t *testing.T) {
	for value, c := range map[string]Config{
		"Content-Length":     {RequestIDHeader: "Content-Length"},
		"connection":         {RequestIDHeader: "connection"},
		"TE":                 {RequestIDHeader: "TE"},
		"Content-Type":       {RequestIDHeader: "Content-Type"},
		"B3":                 {RequestIDHeader: "B3"},
		"X Id":               {RequestIDHeader: "X Id"},
		"Cookie":             {RequestIDHeader: "Cookie"},
		"X-" + long(64):      {RequestIDHeader: "X-" + long(64)},
		"zipkin":             {Propagators: []string{"b3", "zipkin"}},
		"b3multi":            {Propagators: []string{"b3multi", "b3multi"}},
		"-1s":                {JoinTTL: -time.Second},
		"-5":                 {JoinSize: -5},
		"istio":              {Naming: "istio"},
		"on":                 {Fold: "on"},
		"-3":                 {MaxOperations: -3},
		"a/b":                {NoInject: []string{"a/b"}},
		"host:80":            {NoInject: []string{"host:80"}},
		"*":                  {NoInject: []string{"*"}},
		"10.0.0.0/33":        {NoInject: []string{"10.0.0.0/33"}},
		"Transfer-Encoding":  {XSourceHeader: "Transfer-Encoding", XSourceValue: "x"},
		"X-Request-ID":       {XSourceHeader: "X-Request-ID", XSourceValue: "x"},
		"a\\r\\nb":           {XSourceHeader: "X-Source", XSourceValue: "a\r\nb"},
		" a":                 {XSourceHeader: "X-Source", XSourceValue: " a"},
		"Authorization:auth": {TagHeaders: []string{"Authorization:auth"}},
		"set-cookie":         {TagHeaders: []string{"set-cookie"}},
		"X-A:b":              {TagHeaders: []string{"x-a", "X-A:b"}},
		"x-t12":              {TagHeaders: strings.Fields("x-t0 x-t1 x-t2 x-t3 x-t4 x-t5 x-t6 x-t7 x-t8 x-t9 x-t10 x-t11 x-t12")},
		"x:":                 {TagHeaders: []string{"x:"}},
		"a b":                {TagCookies: []string{"a b"}},
		"all":                {RedactQuery: []string{"x", "all"}},
		"trailer":            {TraceResponseHeader: "trailer"},
		"Set-Cookie":         {TraceResponseHeader: "Set-Cookie"},
		"Content-Encoding":   {TraceResponseHeader: "Content-Encoding"},
		"Cache-Control":      {TraceResponseHeader: "Cache-Control"},
		"Sec-X":              {TraceResponseHeader: "Sec-X"},
		"traceparent":        {TraceResponseHeader: "traceparent"},
		"x-request-id":       {TraceResponseHeader: "x-request-id"},
		"X:Y":                {TraceResponseHeader: "X:Y"},
	} {
		s, err := NewShared(c)
		if s != nil || !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), `"`+value+`"`) &&
			!strings.Contains(err.Error(), " "+value+":") {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func long(n int) string { return strings.Repeat("x", n) }

func TestSettingsThatAreTaken(t *testing.T) {
	for _, c := range []Config{
		{},
		{RequestIDHeader: "X_Weird!#$%&'*+-.^_`|~Id", XSourceHeader: "X-Source", XSourceValue: "a b~!"},
		{XSourceHeader: "Content-Length"}, // without a value nothing is written
		{NoInject: []string{"a", "*.b", "1.2.3.4", "::1", "[::1]", "10.0.0.0/8", "fd00::/8", "under_score"}},
		{TagHeaders: []string{"X-Request-Id", "user-agent:ua", "traceparent"}, TagCookies: []string{"a", "b:c"}},
		{TraceResponseHeader: "X-Trace-Id", TagHeaders: []string{"x-trace-id"}},
		{JoinSize: 1, JoinTTL: 1, MaxOperations: 1, Naming: "netra", Fold: "off", Propagators: []string{"jaeger"}},
	} {
		if _, err := NewShared(c); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
