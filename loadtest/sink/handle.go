package sink

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// maxBodyBytes bounds a payload, before and after decompression.
const maxBodyBytes = 64 << 20

// handle answers one request on the address for spans.
func (s *Sink) handle(ctx *fasthttp.RequestCtx) {
	if !ctx.IsPost() && s.control == nil {
		s.handleControl(ctx)
		return
	}
	mode := *s.mode.Load() // as the request came: a slow one is still asleep when the next mode begins
	spans, total, status, err := s.read(ctx)
	if err != nil {
		s.malformed.Add(1)
		ctx.Error(err.Error()+"\n", fasthttp.StatusBadRequest)
		return
	}
	if total == nil {
		s.handleControl(ctx)
		return
	}
	switch mode {
	case Throttling:
		s.refused.Add(int64(spans))
		ctx.Response.Header.Set("Retry-After", "1")
		ctx.SetStatusCode(fasthttp.StatusTooManyRequests)
	case Failing:
		s.refused.Add(int64(spans))
		ctx.SetStatusCode(fasthttp.StatusInternalServerError)
	default:
		total.Add(int64(spans))
		s.requests.Add(1)
		s.bytes.Add(int64(len(ctx.PostBody())))
		ctx.SetStatusCode(status)
		if mode == Slow {
			time.Sleep(time.Duration(s.delay.Load()))
		}
	}
}

// read counts the spans of a request. total is the count they belong to, nil when the path is none of a collector's; status
// is what such a collector answers.
func (s *Sink) read(ctx *fasthttp.RequestCtx) (spans int, total *atomic.Int64, status int, err error) {
	var count func([]byte) (int, error)
	contentType := string(ctx.Request.Header.ContentType())
	switch string(ctx.Path()) {
	case "/v1/traces":
		count, total, status = CountOTLP, &s.otlp, fasthttp.StatusOK
		if !strings.HasPrefix(contentType, "application/x-protobuf") {
			return 0, nil, 0, fmt.Errorf("content type %q (allowed: application/x-protobuf)", contentType)
		}
		// An empty ExportTraceServiceResponse is zero bytes long.
		ctx.SetContentType("application/x-protobuf")
	case "/api/v2/spans":
		count, total, status = CountZipkinJSON, &s.zipkin, fasthttp.StatusAccepted
		if strings.HasPrefix(contentType, "application/x-protobuf") {
			count = CountZipkinProto
		}
	case "/api/traces":
		count, total, status = CountJaegerThrift, &s.jaeger, fasthttp.StatusAccepted
	default:
		return 0, nil, 0, nil
	}
	body := ctx.PostBody()
	if encoding := string(ctx.Request.Header.ContentEncoding()); encoding != "" && encoding != "identity" {
		if body, err = ctx.Request.BodyUncompressedWithLimit(maxBodyBytes); err != nil {
			return 0, nil, 0, fmt.Errorf("content encoding %q: %w", encoding, err)
		}
	}
	spans, err = count(body)
	return spans, total, status, err
}

// handleControl answers GET /count, POST /reset and POST /mode?set=NAME[&delay=DURATION].
func (s *Sink) handleControl(ctx *fasthttp.RequestCtx) {
	switch string(ctx.Path()) {
	case "/count":
	case "/reset":
		s.Reset()
	case "/mode":
		if err := s.changeMode(ctx.QueryArgs()); err != nil {
			ctx.Error(err.Error()+"\n", fasthttp.StatusBadRequest)
			return
		}
	default:
		ctx.Error("not found (there are /count, /reset and /mode)\n", fasthttp.StatusNotFound)
		return
	}
	encoded, err := json.Marshal(s.Counts())
	if err != nil {
		panic("BUG: counts do not encode: " + err.Error())
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(append(encoded, '\n'))
}

// changeMode follows the query of /mode.
func (s *Sink) changeMode(query *fasthttp.Args) error {
	if delay := query.Peek("delay"); len(delay) > 0 {
		d, err := time.ParseDuration(string(delay))
		if err != nil || d < 0 {
			return fmt.Errorf("delay %q (allowed: a duration such as 1s)", delay)
		}
		s.SetDelay(d)
	}
	return s.SetMode(Mode(query.Peek("set")))
}
