package exporters

import (
	"math/big"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// otlpAnswer describes ExportTraceServiceResponse to the protobuf library; the module's own package of it needs gRPC. The message is bytes here, so
// that text that is no UTF-8 is read, too.
func otlpAnswer(f *testing.F) protoreflect.MessageDescriptor {
	f.Helper()
	field := func(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type, of string) *descriptorpb.FieldDescriptorProto {
		d := &descriptorpb.FieldDescriptorProto{
			Name: proto.String(name), Number: proto.Int32(number), Type: kind.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
		if of != "" {
			d.TypeName = proto.String(of)
		}
		return d
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("answer.proto"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("Answer"), Field: []*descriptorpb.FieldDescriptorProto{
				field("partial_success", 1, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, ".Partial"),
			}},
			{Name: proto.String("Partial"), Field: []*descriptorpb.FieldDescriptorProto{
				field("rejected_spans", 1, descriptorpb.FieldDescriptorProto_TYPE_INT64, ""),
				field("error_message", 2, descriptorpb.FieldDescriptorProto_TYPE_BYTES, ""),
			}},
		},
	}, nil)
	if err != nil {
		f.Fatal(err)
	}
	return file.Messages().ByName("Answer")
}

// hasGroup reports whether a group is among the fields of b, or of those that partial_success holds.
func hasGroup(b []byte, depth int) bool {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		if kind == protowire.StartGroupType {
			return true
		}
		size := protowire.ConsumeFieldValue(number, kind, b[n:])
		if size < 0 {
			return false
		}
		if data, m := protowire.ConsumeBytes(b[n:]); kind == protowire.BytesType && m > 0 && number == 1 && depth == 0 && hasGroup(data, 1) {
			return true
		}
		b = b[n+size:]
	}
	return false
}

// FuzzOTLPAnswer: what a collector answers is read as the protobuf library reads it, whatever it is; what the library refuses says nothing. Groups,
// which protobuf has given up, are not read.
func FuzzOTLPAnswer(f *testing.F) {
	partial := func(b []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), b)
	}
	rejected := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 7)
	said := protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), "no\troom \xff")
	f.Add(partial(append(rejected, said...)))
	f.Add(append(partial(rejected), partial(said)...))                                                                        // merged
	f.Add(append(partial(rejected), partial(append(said, rejected...))[:9]...))                                               // cut off
	f.Add(partial(protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1<<63)))                          // negative
	f.Add(partial(protowire.AppendFixed64(protowire.AppendTag(rejected, 1, protowire.Fixed64Type), 9)))                       // another type
	f.Add(partial(protowire.AppendFixed32(protowire.AppendTag(said, 2, protowire.Fixed32Type), 9)))                           // another type
	f.Add(protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1))                                       // another type
	f.Add(append(partial(rejected), 0x08))                                                                                    // no value
	f.Add(append(partial(rejected), 0x00, 0x01))                                                                              // field 0
	f.Add(append(partial(rejected), 0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01))                        // a length beyond all
	f.Add(append(partial(rejected), 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02))                        // a varint beyond 64 bits
	f.Add(append(partial(rejected), protowire.AppendGroup(protowire.AppendTag(nil, 3, protowire.StartGroupType), 3, nil)...)) // a group
	answer := otlpAnswer(f)
	success := answer.Fields().ByNumber(1)
	fields := success.Message().Fields()
	f.Fuzz(func(t *testing.T, body []byte) {
		n, message := otlpAccepted(body)
		if !utf8.ValidString(message) || len(message) > 3*maxMessageBytes || strings.ContainsFunc(message, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("the message is %q", message)
		}
		if hasGroup(body, 0) {
			return
		}
		want := dynamicpb.NewMessage(answer)
		wantN, wantMessage := int64(0), ""
		if proto.Unmarshal(body, want) == nil {
			p := want.Get(success).Message()
			wantN, wantMessage = max(0, min(p.Get(fields.ByNumber(1)).Int(), 1<<31-1)), printable(p.Get(fields.ByNumber(2)).Bytes())
		}
		if int64(n) != wantN || message != wantMessage {
			t.Errorf("%x: %d rejected, %q; protobuf says %d, %q", body, n, message, wantN, wantMessage)
		}
	})
}

// seconds is a number of them as RFC 9110 §10.2.3 has it.
var seconds = regexp.MustCompile(`\A[0-9]+\z`)

// FuzzRetryAfter: a number of seconds is that number, a date is what net/http reads, up to the bound; all else is nothing.
func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for _, s := range []string{"", "0", "7", "007", "120", "300", "301", "4294967296", "99999999999999999999", "-1", "+1", "1.5", "1e3", "1_000",
		"0x10", " 7",
		"Fri, 27 Nov 2026 12:00:30 GMT", "Friday, 27-Nov-26 12:00:30 GMT", "Fri Nov 27 12:00:30 2026", "Fri, 27 Nov 2026 12:00:30 UTC",
		"Fri, 27 Nov 1926 12:00:30 GMT",
		"Fri, 27 Nov 9999 12:00:30 GMT", "Mon, 27 Nov 2026 12:00:30 GMT", "Fri, 27 Nov 2026 12:00:60 GMT", "Fri, 27 Nov 2026 12:00:30.5 GMT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		var resp fasthttp.Response
		resp.Header.Set("Retry-After", value)
		if value = string(resp.Header.Peek("Retry-After")); strings.ContainsAny(value, "\r\n") {
			t.Fatalf("a header of lines: %q", value)
		}
		want := time.Duration(0)
		if seconds.MatchString(value) {
			n, _ := new(big.Int).SetString(value, 10)
			want = maxRetryAfter
			if n.Cmp(big.NewInt(int64(maxRetryAfter/time.Second))) < 0 {
				want = time.Duration(n.Int64()) * time.Second
			}
		} else if at, err := http.ParseTime(value); err == nil {
			want = max(0, min(at.Sub(now), maxRetryAfter))
		}
		if got := retryAfter(&resp, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	})
}

// FuzzEndpoint: an endpoint that is taken is one that net/url splits and net/http sends to, with a port that is one; neither what is shown of it nor
// the error bears a password.
func FuzzEndpoint(f *testing.F) {
	for _, s := range []string{"http://localhost:4318", "https://u:p@h/v1/traces?q#f", "http://[::1]:9411/", "http://[fe80::1%25eth0]:1",
		"udp://agent", "http://", "h:1", "http://h:",
		"http://h:0", "http://h:65536", "http://h:080", "ftp://h", "http://u:p@h:x", "http://u:p@h\x7f", "HTTP://H", "http://h/%zz", "http:///x",
		"//h", "http://h:-1", "http://a b", "http://[::%25\xe8]", "http://]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		const secret = "hunter2-secret"
		withSecret := value
		if scheme, rest, ok := strings.Cut(value, "://"); ok {
			withSecret = scheme + "://user:" + secret + "@" + rest
		}
		for _, v := range []string{value, withSecret} {
			u, err := parseEndpoint("--x", v, "http", "https", "udp")
			parsed, parseErr := url.Parse(v)
			hidden := parseErr != nil
			if !hidden {
				password, _ := parsed.User.Password()
				hidden = password == secret && !strings.Contains(value, secret)
			}
			if err != nil {
				if strings.ContainsAny(err.Error(), "\r\n") || hidden && v != value && strings.Contains(err.Error(), secret) {
					t.Errorf("%q: the error is %q", v, err)
				}
				continue
			}
			if hidden && strings.Contains(shown(u), secret) {
				t.Errorf("%q is shown as %q", v, shown(u))
			}
			if parseErr != nil || parsed.String() != u.String() || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "udp" {
				t.Fatalf("%q was taken as %q; net/url says %v", v, u, parseErr)
			}
			host, port, err := net.SplitHostPort(hostPortOf(u, "80"))
			if n, _ := new(big.Int).SetString(port, 10); err != nil || host != u.Hostname() || n == nil || n.Sign() <= 0 || n.BitLen() > 16 {
				t.Errorf("%q is taken as host %q, port %q, %v", v, host, port, err)
			}
			if _, err := http.NewRequest(http.MethodPost, u.String(), http.NoBody); err != nil {
				t.Errorf("%q: net/http says %v", v, err)
			}
			if again, err := parseEndpoint("--x", shown(u), "http", "https",
				"udp"); err != nil || again.Host != u.Host || again.User != nil || again.RawQuery != "" {
				t.Errorf("%q is shown as %q, which is read as %v, %v", v, shown(u), again, err)
			}
		}
	})
}
