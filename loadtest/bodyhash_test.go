package loadtest

import "testing"

func TestBodyHash_KnownValueAndPieces(t *testing.T) {
	// The check value of CRC-32C (RFC 3720 calls for the polynomial; the value is in every catalogue of CRCs).
	const want = "crc32c=e3069283"
	sum := UpdateBodyHash(UpdateBodyHash(0, []byte("1234")), []byte("56789"))
	if got := string(AppendBodyHash(nil, sum)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if parsed, ok := ParseBodyHash([]byte(want)); !ok || parsed != sum {
		t.Errorf("parsed %x, %v", parsed, ok)
	}
}

func TestParseBodyHash_RefusesOthers(t *testing.T) {
	for _, value := range []string{"", "crc32c=", "crc32c=1234567", "crc32c=123456789", "crc32c=1234567g", "sha-256=12345678", "crc32c=+1234567"} {
		if _, ok := ParseBodyHash([]byte(value)); ok {
			t.Errorf("%q accepted", value)
		}
	}
}
