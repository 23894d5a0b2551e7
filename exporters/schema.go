package exporters

import (
	"bytes"

	"github.com/spanwire/spanwire/core/span"
)

// firstByteKey is the time from the start of the span to the first byte of the response, in microseconds.
const firstByteKey = "spanwire.ttfb_us"

// otelSchema makes the attributes of OpenTelemetry's semantic conventions for HTTP spans
// (https://opentelemetry.io/docs/specs/semconv/http/http-spans/).
func otelSchema(v *View, r *span.Record) {
	host, port := splitHost(r.Text(span.Host))
	if isHTTP(r) {
		otelHTTP(v, r)
	} else {
		otherProtocol(v, r)
	}
	if len(host) > 0 {
		v.str("server.address", v.text(host))
	} else {
		v.strIf("server.address", v.address(r.Server))
	}
	if port == 0 {
		port = r.Server.Port
	}
	if port != 0 {
		v.int("server.port", int64(port))
	}
	peer := remote(r)
	if addr := v.address(peer); addr != "" {
		if r.Kind == span.Server {
			v.str("client.address", addr)
		}
		v.str("network.peer.address", addr)
		v.int("network.peer.port", int64(peer.Port))
	}
	v.strIf("user_agent.original", v.text(r.Text(span.UserAgent)))
	v.strIf("http.request_id", v.text(r.Text(span.RequestID)))
	if r.RequestBytes > 0 {
		v.int("http.request.size", r.RequestBytes)
	}
	if r.ResponseBytes > 0 {
		v.int("http.response.size", r.ResponseBytes)
	}
	if r.FirstByte > 0 {
		v.int(firstByteKey, r.FirstByte/1000)
	}
	v.strIf("error.type", v.errorType)
}

// otelHTTP adds what only HTTP has.
func otelHTTP(v *View, r *span.Record) {
	method := r.Text(span.Method)
	switch {
	case len(method) == 0:
	case isKnownMethod(method):
		v.str("http.request.method", v.text(method))
	default: // semconv: methods that are not known must be reported as _OTHER, or names would be without bound
		v.str("http.request.method", "_OTHER")
		v.str("http.request.method_original", v.text(method))
	}
	if path := r.Text(span.Path); len(path) > 0 {
		v.str("url.path", v.text(path))
	}
	v.strIf("url.query", v.text(r.Text(span.Query)))
	v.str("url.scheme", "http")
	if r.Kind == span.Client {
		v.strIf("url.full", v.fullURL(r))
	}
	v.str("network.protocol.version", minorVersion(r.Minor))
	if r.Status != 0 {
		v.int("http.response.status_code", int64(r.Status))
		// semconv: 4xx is an error of the one who called, none of the one who answered.
		if r.Kind == span.Client && r.Status >= 400 && !v.failed && r.Failure == span.FailureNone {
			v.failed, v.errorType = true, v.number(int64(r.Status))
		}
	}
}

// otherProtocol adds what a protocol that is not HTTP may have said.
func otherProtocol(v *View, r *span.Record) {
	v.strIf("network.protocol.name", v.text(r.Text(span.Protocol)))
	v.strIf("rpc.method", v.text(r.Text(span.Method)))
	v.strIf("url.path", v.text(r.Text(span.Path)))
	if r.Status != 0 {
		v.int("spanwire.status", int64(r.Status))
	}
}

// zipkinSchema makes the tags that Zipkin's own instrumentation uses (https://zipkin.io/public/thrift/v1/zipkinCore.html).
func zipkinSchema(v *View, r *span.Record) {
	v.strIf("http.method", v.text(r.Text(span.Method)))
	v.strIf("http.path", v.text(r.Text(span.Path)))
	v.strIf("http.host", v.text(r.Text(span.Host)))
	if r.Status != 0 {
		v.int("http.status_code", int64(r.Status))
	}
	v.strIf("http.request_id", v.text(r.Text(span.RequestID)))
	if r.RequestBytes > 0 {
		v.int("http.request.size", r.RequestBytes)
	}
	if r.ResponseBytes > 0 {
		v.int("http.response.size", r.ResponseBytes)
	}
	if r.FirstByte > 0 {
		v.int(firstByteKey, r.FirstByte/1000)
	}
	if v.failed {
		v.errorTag = true
		v.str("error", v.errorType)
	}
}

// netraSchema makes Netramesh's tags, for dashboards made for it. Sizes are of bodies, −1 when unknown, as there.
func netraSchema(v *View, r *span.Record) {
	if peer := remote(r); peer.V != 0 {
		v.str("remote_addr", v.hostPort(peer))
	}
	if isHTTP(r) {
		v.str("http.host", v.text(r.Text(span.Host)))
		v.str("http.path", v.pathAndQuery(r))
		v.str("http.method", v.text(r.Text(span.Method)))
		v.strIf("http.user_agent", v.text(r.Text(span.UserAgent)))
		v.strIf("http.request_id", v.text(r.Text(span.RequestID)))
		v.int("http.request_size", r.RequestBody)
		if r.Status != 0 {
			v.int("http.response_size", r.ResponseBody)
			v.int("http.status_code", int64(r.Status))
		} else { // whatever was counted belongs to no response
			v.int("http.response_size", -1)
		}
	} else {
		otherProtocol(v, r)
	}
	if v.failed {
		v.errorTag = true
		v.bool("error", true)
		v.str("error.type", v.errorType)
	}
	if r.Failure == span.FailureDialTimeout {
		v.bool("timeout", true)
	}
}

// hostPort returns address and port of e, which is known, in the scratch.
func (v *View) hostPort(e span.Endpoint) string {
	start := len(v.scratch)
	v.scratch = e.AddrPort().AppendTo(v.scratch)
	return alias(v.scratch[start:])
}

// pathAndQuery returns path and, if there is one, query, as valid UTF-8.
func (v *View) pathAndQuery(r *span.Record) string {
	path, query := r.Text(span.Path), r.Text(span.Query)
	if len(query) == 0 {
		return v.text(path)
	}
	start := len(v.scratch)
	v.scratch = appendValid(v.scratch, path)
	v.scratch = append(v.scratch, '?')
	v.scratch = appendValid(v.scratch, query)
	return alias(v.scratch[start:])
}

// fullURL returns the URL of the request, "" without a host. The scheme is http: what is encrypted is not parsed.
func (v *View) fullURL(r *span.Record) string {
	host, path, query := r.Text(span.Host), r.Text(span.Path), r.Text(span.Query)
	if len(host) == 0 {
		return ""
	}
	start := len(v.scratch)
	v.scratch = append(v.scratch, "http://"...)
	v.scratch = appendValid(v.scratch, host)
	if len(path) > 0 && path[0] == '/' { // not of OPTIONS * (RFC 9112 §3.2.4)
		v.scratch = appendValid(v.scratch, path)
	}
	if len(query) > 0 {
		v.scratch = append(v.scratch, '?')
		v.scratch = appendValid(v.scratch, query)
	}
	return alias(v.scratch[start:])
}

// isKnownMethod reports whether m is one of RFC 9110 §9 or RFC 5789. Methods are case-sensitive.
func isKnownMethod(m []byte) bool {
	switch string(m) {
	case "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE":
		return true
	}
	return false
}

// minorVersion returns the version of HTTP/1.minor.
func minorVersion(minor uint8) string {
	if minor == 0 {
		return "1.0"
	}
	return "1.1"
}

// splitHost splits an authority into host, without the brackets of an IPv6 literal, and port; 0 when there is none that is valid.
func splitHost(authority []byte) (host []byte, port uint16) {
	host = authority
	// A colon within brackets, or one of several without them, belongs to an IPv6 address.
	colon := bytes.LastIndexByte(authority, ':')
	if closing := bytes.LastIndexByte(authority, ']'); colon > closing && (closing >= 0 || bytes.IndexByte(authority, ':') == colon) {
		if p, ok := parsePort(authority[colon+1:]); ok {
			host, port = authority[:colon], p
		}
	}
	if n := len(host); n >= 2 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	return host, port
}

// parsePort parses a decimal port from 1 to 65535.
func parsePort(b []byte) (port uint16, ok bool) {
	if len(b) == 0 || len(b) > 5 {
		return 0, false
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return uint16(n), n > 0 && n <= 65535
}
