package exporters

import "github.com/spanwire/spanwire/core/span"

// zipkinEncoder makes Zipkin v2 JSON (https://zipkin.io/zipkin-api/): an array of spans.
type zipkinEncoder struct {
	service  []byte // the service name as a JSON string, lower case
	resource []byte // `"key":"value",` for each resource attribute: Zipkin has no place for them but the spans' tags
}

// newZipkinEncoder returns the encoder for cfg.
func newZipkinEncoder(cfg *Config) *zipkinEncoder {
	e := &zipkinEncoder{service: appendJSONLower(nil, validText(cfg.ServiceName))}
	for _, kv := range cfg.Resource {
		e.resource = append(appendJSON(e.resource, validText(kv.Key)), ':')
		e.resource = append(appendJSON(e.resource, validText(kv.Value)), ',')
	}
	return e
}

// Begin implements Encoder.
func (e *zipkinEncoder) Begin(dst []byte) []byte { return append(dst, '[') }

// Finish implements Encoder.
func (e *zipkinEncoder) Finish(dst []byte, _ int) []byte {
	dst[len(dst)-1] = ']' // the comma behind the last span
	return dst
}

// Append implements Encoder.
func (e *zipkinEncoder) Append(dst []byte, v *View) []byte {
	r := v.r
	dst = append(dst, `{"traceId":"`...)
	dst = appendHex(dst, r.TraceID[:])
	dst = append(dst, `","id":"`...)
	dst = appendHex(dst, r.SpanID[:])
	if !r.ParentID.IsZero() {
		dst = append(dst, `","parentId":"`...)
		dst = appendHex(dst, r.ParentID[:])
	}
	if r.Kind == span.Client {
		dst = append(dst, `","kind":"CLIENT","name":`...)
	} else {
		dst = append(dst, `","kind":"SERVER","name":`...)
	}
	dst = appendJSONLower(dst, v.name)
	dst = append(dst, `,"timestamp":`...)
	dst = appendInt(dst, r.Start/1000)
	dst = append(dst, `,"duration":`...)
	dst = appendInt(dst, max(r.Duration/1000, 1)) // zero means "unknown" there
	if r.Flags&span.Debug != 0 {
		dst = append(dst, `,"debug":true`...)
	}
	dst = append(dst, `,"localEndpoint":{"serviceName":`...)
	dst = append(dst, e.service...)
	dst = appendZipkinAddress(dst, local(r), ',')
	if peer := remote(r); peer.V != 0 {
		dst = append(dst, `},"remoteEndpoint":{`...)
		dst = appendZipkinAddress(dst, peer, 0)
	}
	dst = append(dst, '}')
	dst = e.appendTags(dst, v)
	return append(dst, '}', ',')
}

// appendTags appends the member "tags", if there are any. All values are texts there.
func (e *zipkinEncoder) appendTags(dst []byte, v *View) []byte {
	const head = `,"tags":{`
	dst = append(dst, head...)
	start := len(dst)
	for i := range v.list() {
		a := &v.attrs[i]
		dst = appendJSON(dst, a.key)
		dst = append(dst, ':')
		switch {
		case a.kind == attrString:
			dst = append(appendJSON(dst, a.str), ',')
		case a.kind == attrInt:
			dst = append(appendInt(append(dst, '"'), a.num), '"', ',')
		case a.num != 0:
			dst = append(dst, `"true",`...)
		default:
			dst = append(dst, `"false",`...)
		}
	}
	if v.failed && !v.errorTag {
		// The mapping of OpenTelemetry to Zipkin: the status error is the tag error, with what is known of it.
		dst = append(appendJSON(append(dst, `"error":`...), v.errorType), ',')
	}
	dst = append(dst, e.resource...)
	if len(dst) == start {
		return dst[:start-len(head)]
	}
	dst[len(dst)-1] = '}' // the comma behind the last tag
	return dst
}

// appendZipkinAddress appends the members of an endpoint, after sep unless that is 0; nothing when the address is unknown.
func appendZipkinAddress(dst []byte, e span.Endpoint, sep byte) []byte {
	switch {
	case e.V == 0:
		return dst
	case sep != 0:
		dst = append(dst, sep)
	}
	dst = append(dst, `"ipv`...)
	dst = append(dst, '0'+e.V)
	dst = append(dst, `":"`...)
	dst = appendAddr(dst, e)
	dst = append(dst, '"')
	if e.Port != 0 {
		dst = appendInt(append(dst, `,"port":`...), int64(e.Port))
	}
	return dst
}
