// h2cserver answers HTTP/1.1 and cleartext HTTP/2 on one port: by prior knowledge and by an upgrade from HTTP/1.1 (RFC 7540 §3.2), which
// the standard library's server does not know. Each answer says which protocol the request came by, and what its body was.
package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
)

// maxBody bounds what an answer's size may be asked to be, in bytes.
const maxBody = 64 << 20

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: h2cserver ADDRESS")
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening")
	server := &http.Server{Handler: h2c.NewHandler(http.HandlerFunc(answer), &http2.Server{}), ReadHeaderTimeout: time.Minute}
	log.Fatal(server.Serve(listener))
}

// answer reads the body and says what it was; with ?size=N it adds a line feed and N bytes more.
func answer(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%s %s %s %d %x\n", r.Proto, r.Method, r.URL.Path, n, sum.Sum(nil))
	var size int
	if _, err := fmt.Sscan(r.URL.Query().Get("size"), &size); err != nil || size < 0 || size > maxBody {
		return
	}
	block := make([]byte, 32<<10)
	for i := range block {
		block[i] = byte('a' + i%26)
	}
	for size > 0 {
		k, err := w.Write(block[:min(size, len(block))])
		if err != nil {
			return
		}
		size -= k
	}
}
