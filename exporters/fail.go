package exporters

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Fail names what went wrong when sending; one line of the log each.
type Fail uint8

// The kinds of failure.
const (
	FailNone         Fail = iota
	FailConnect           // no connection: refused, unreachable, or lost
	FailResolve           // the name did not resolve
	FailTimeout           // no answer in time
	FailBusy              // the receiver asked to come back later (429, 502, 503, 504)
	FailStatus            // the receiver refused the batch
	FailPartial           // the receiver took the batch but not all of its spans
	FailTLSAuthority      // the certificate is signed by an authority that is not trusted
	FailTLSExpired        // the certificate has expired, or is not valid yet
	FailTLSName           // the certificate is for another name
	FailTLS               // another failure of TLS
	FailWrite             // local output failed
	numFails
)

// String returns the name that stands in the log.
func (f Fail) String() string {
	return [...]string{
		FailNone: "none", FailConnect: "connection", FailResolve: "name_resolution", FailTimeout: "timeout", FailBusy: "busy",
		FailStatus: "status", FailPartial: "partial_success", FailTLSAuthority: "tls_unknown_authority",
		FailTLSExpired: "tls_certificate_expired", FailTLSName: "tls_name_mismatch", FailTLS: "tls", FailWrite: "write",
	}[f]
}

// errAborted is what a Sender returns for what Abort ended.
var errAborted = errors.New("aborted")

// classify names the failure of a connection attempt or an exchange.
func classify(err error) Fail {
	var (
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		name      x509.HostnameError
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		dns       *net.DNSError
		timeout   interface{ Timeout() bool }
	)
	switch {
	case errors.As(err, &authority):
		return FailTLSAuthority
	case errors.As(err, &invalid):
		if invalid.Reason == x509.Expired {
			return FailTLSExpired
		}
		return FailTLS
	case errors.As(err, &name):
		return FailTLSName
	case errors.As(err, &verify), errors.As(err, &record), alertOf(err) != nil:
		return FailTLS
	case errors.As(err, &dns):
		return FailResolve
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, fasthttp.ErrTLSHandshakeTimeout):
		return FailTimeout
	case errors.As(err, &timeout) && timeout.Timeout():
		return FailTimeout
	case strings.Contains(err.Error(), "tls: "): // alerts that wrapping has hidden
		return FailTLS
	}
	return FailConnect
}

// isTLS reports whether f will not mend by itself.
func (f Fail) isTLS() bool { return f >= FailTLSAuthority && f <= FailTLS }

// logEvery is how often a kind of failure of an exporter may be logged.
const logEvery = 10 * time.Second

// failLog logs the failures of one exporter, each kind at most every logEvery, with how many lines were left out.
type failLog struct {
	log    *slog.Logger // with the exporter's name and endpoint
	next   [numFails]atomic.Int64
	left   [numFails]atomic.Uint64
	failed atomic.Bool // the last attempt failed: its recovery is worth a line
}

// began is where the time of the logs begins: the clock of the wall may be set back.
var began = time.Now()

// failure logs a failure that concerns that many spans. lost: they are dropped, else they will be tried again.
func (l *failLog) failure(f Fail, err error, spans int, lost bool) {
	if f != FailPartial {
		l.failed.Store(true)
	}
	now := int64(time.Since(began))
	next := l.next[f].Load()
	if now < next || !l.next[f].CompareAndSwap(next, now+int64(logEvery)) {
		l.left[f].Add(1)
		return
	}
	args := []any{"failure", f.String(), "error", err, "spans", spans, "dropped", lost}
	if n := l.left[f].Swap(0); n > 0 {
		args = append(args, "left_out", n)
	}
	l.log.Warn("export failed", args...)
}

// success logs the first success after a failure.
func (l *failLog) success() {
	if l.failed.Load() && l.failed.Swap(false) {
		l.log.Info("export works again")
	}
}
