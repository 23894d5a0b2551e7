//go:build e2e

package transparency

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/need"
	"github.com/spanwire/spanwire/internal/sidecar"
)

// The ports of the database servers: their own defaults.
const (
	redisPort    = "6379"
	redisTLSPort = "6380"
	postgresPort = "5432"
	mariadbPort  = "3306"
)

// rows is how many rows go in and out.
const rows = 10_000

// TestDatabases runs the command line clients of three databases against their servers: protocols that are none of the sidecar's, one where the
// server speaks first (MariaDB), two that ask for TLS within the connection (PostgreSQL, MariaDB). Each client prints the same through the
// sidecar as directly, and there is no span.
func TestDatabases(t *testing.T) {
	t.Parallel()
	tools := []string{"redis-server", "redis-cli", "psql", "mariadbd", "mariadb", "mariadb-install-db"}
	inLoopback(t, 15*time.Minute, tools, func(env *loopback) {
		makeCertificate(t, env.dir)
		for _, name := range []string{"ca.pem", "key.pem"} { // PostgreSQL wants the key to be its user's alone
			own(env, filepath.Join(env.dir, name), 0o600)
		}
		for _, make := range []func(*loopback) client{redisClient, postgresClient, mariadbClient} {
			env.compare(suiteOf(env, "Databases", make(env)))
		}
	})
}

// own gives a file to the suites' user.
func own(env *loopback, file string, mode os.FileMode) {
	env.t.Helper()
	if err := os.Chown(file, suiteUser, suiteUser); err != nil {
		env.t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		env.t.Fatal(err)
	}
}

// ownDir makes a directory of the suites' user, which is its alone.
func ownDir(env *loopback, name string) string {
	env.t.Helper()
	dir := filepath.Join(env.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		env.t.Fatal(err)
	}
	own(env, dir, 0o700)
	return dir
}

// ownFile makes a file that the suites' user can read.
func ownFile(env *loopback, name string, content []byte) string {
	env.t.Helper()
	file := filepath.Join(env.dir, name)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		env.t.Fatal(err)
	}
	own(env, file, 0o600)
	return file
}

// binary is a value with every byte in it.
func binary(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 / 3)
	}
	return b
}

// redisClient is redis-cli.
func redisClient(env *loopback) client {
	t := env.t
	ca, key := filepath.Join(env.dir, "ca.pem"), filepath.Join(env.dir, "key.pem")
	server, cli := need.Tool(t, "redis-server"), need.Tool(t, "redis-cli")
	serve(env, "127.0.0.1:"+redisPort, server, "--bind", "127.0.0.1", "--port", redisPort, "--tls-port", redisTLSPort, "--tls-cert-file", ca, "--tls-key-file", key,
		"--tls-ca-cert-file", ca, "--tls-auth-clients", "no", "--dir", ownDir(env, "redis"), "--save", "")
	var pipe, sets strings.Builder
	for i := range rows {
		value := fmt.Sprintf("value of %d\r\nGET / HTTP/1.1\r\n\r\n", i)
		fmt.Fprintf(&pipe, "*3\r\n$3\r\nSET\r\n$%d\r\nkey:%05d\r\n$%d\r\n%s\r\n", 9, i, len(value), value)
		fmt.Fprintf(&sets, "RPUSH list element-%d\n", i)
	}
	plain := []step{
		{name: "empty", args: []string{"FLUSHALL"}, want: "OK"},
		{name: "ping", args: []string{"PING"}, want: "PONG"},
		{name: "10 000 commands in a pipe", args: []string{"--pipe"}, stdin: pipe.String(), want: "replies: 10000"},
		{name: "10 000 commands one by one", stdin: sets.String(), want: "10000"},
		{name: "10 000 keys out", args: append([]string{"MGET"}, keys(rows)...), want: "value of 9999"},
		{name: "a list out", args: []string{"LRANGE", "list", "0", "-1"}, want: "element-9999"},
		{name: "binary value in", args: []string{"-x", "SET", "binary"}, stdin: string(binary(3 << 20)), want: "OK"},
		{name: "binary value out", args: []string{"GET", "binary"}},
		{name: "transaction", stdin: "MULTI\nINCR n\nINCR n\nEXEC\nMULTI\nINCR n\nDISCARD\nGET n\n", want: "QUEUED"},
		{name: "script", args: []string{"EVAL", "return {redis.call('GET', KEYS[1]), ARGV[1]}", "1", "n", "a"}, want: "2"},
		{name: "error", args: []string{"LPUSH", "n", "x"}, want: "WRONGTYPE"},
		{name: "wait that ends by itself", args: []string{"BLPOP", "nothing", "0.2"}},
		{name: "scan", args: []string{"--scan", "--pattern", "key:0000*"}, want: "key:00009"},
		{name: "RESP3", args: []string{"-3", "HELLO", "3"}, want: "proto", mask: regexp.MustCompile(`(?m)^id \d+$`)},
	}
	secure := []step{
		{name: "TLS ping", args: []string{"PING"}, want: "PONG"},
		{name: "TLS binary value in", args: []string{"-x", "SET", "binary"}, stdin: string(binary(3 << 20)), want: "OK"},
		{name: "TLS binary value out", args: []string{"GET", "binary"}},
		{name: "TLS keys out", args: append([]string{"MGET"}, keys(rows)...), want: "value of 9999"},
	}
	return client{
		name: "redis-cli", version: "Redis " + versionOf(t, server, "--version"), how: "a run for each case, against redis-server",
		cases: func() []observation {
			all := steps(env, nil, cli, []string{"-h", "127.0.0.1", "-p", redisPort}, plain)
			all = append(all, steps(env, nil, cli, []string{"-h", "127.0.0.1", "-p", redisTLSPort, "--tls", "--cacert", ca}, secure)...)
			all = append(all, subscription(env, cli))
			// Inline commands, one of which begins as a request of HTTP does.
			return append(all, steps(env, nil, debianPython, []string{"-c", talk, "127.0.0.1", redisPort}, []step{
				{name: "inline commands", stdin: "GET n\r\nPING\r\n", want: "+PONG"},
				{name: "a request of HTTP", stdin: "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"},
				{name: "inline commands in one write", stdin: strings.Repeat("PING\r\n", 5000), want: strings.Repeat("+PONG\r\n", 5000)},
			})...)
		},
		spans: 1, // the request of HTTP, which the server ends the connection for
	}
}

// talk is a program of Python's that sends what it reads, as one write, and prints what comes back.
const talk = `
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as s:
    s.sendall(sys.stdin.buffer.read())
    s.shutdown(socket.SHUT_WR)
    while b := s.recv(65536):
        sys.stdout.buffer.write(b)
`

// keys are the keys of the first n rows.
func keys(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("key:%05d", i))
	}
	return all
}

// subscription has one client subscribe and another publish.
func subscription(env *loopback, cli string) observation {
	const messages = 500
	ctx, cancel := context.WithTimeout(env.t.Context(), clientPatience)
	defer cancel()
	at := []string{"-h", "127.0.0.1", "-p", redisPort}
	cmd := env.command(ctx, nil, cli, append(slices.Clone(at), "SUBSCRIBE", "news")...)
	var got sidecar.Buffer
	cmd.Stdout = &got
	if err := cmd.Start(); err != nil {
		env.t.Fatal(err)
	}
	defer func() {
		_ = cmd.Cancel() // a subscription has no end
		_ = cmd.Wait()
	}()
	await := func(text string) bool {
		for deadline := time.Now().Add(sidecar.Patience); !strings.Contains(got.String(), text); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				return false
			}
		}
		return true
	}
	ok := await("subscribe\nnews\n1\n")
	var publish strings.Builder
	for i := range messages {
		fmt.Fprintf(&publish, "PUBLISH news message-%d-\n", i)
	}
	out, code := runStep(env, nil, cli, at, publish.String())
	ok = ok && code == 0 && out == strings.Repeat("1\n", messages) && await(fmt.Sprintf("message-%d-\n", messages-1))
	return observation{"publish and subscribe", ok, digest(got.String())}
}

// postgresClient is psql.
func postgresClient(env *loopback) client {
	t := env.t
	dir := ownDir(env, "postgres")
	bin := postgresBin(t)
	data := filepath.Join(dir, "data")
	runAs(env, filepath.Join(bin, "initdb"), "-D", data, "-U", "spanwire", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	serve(env, "127.0.0.1:"+postgresPort, filepath.Join(bin, "postgres"), "-D", data, "-p", postgresPort, "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "ssl=on", "-c", "ssl_cert_file="+filepath.Join(env.dir, "ca.pem"),
		"-c", "ssl_key_file="+filepath.Join(env.dir, "key.pem"))
	var csv bytes.Buffer
	for i := range rows {
		fmt.Fprintf(&csv, "%d,name of %d,%d.5,\"GET / HTTP/1.1, \"\"quoted\"\"\"\n", i, i, i*3)
	}
	input, large := ownFile(env, "rows.csv", csv.Bytes()), ownFile(env, "large", binary(3<<20))
	psql := need.Tool(t, "psql")
	listening := fmt.Sprintf("LISTEN news;\n\\! %s -X -q -h 127.0.0.1 -p %s -U spanwire postgres -c \"SELECT pg_notify('news', 'message ' || i) FROM generate_series(1, 200) i\" > /dev/null\nSELECT 1;\n",
		psql, postgresPort)
	list := []step{
		{name: "schema", stdin: "DROP SCHEMA IF EXISTS s CASCADE;\nCREATE SCHEMA s;\nCREATE TABLE s.r (id int PRIMARY KEY, name text, price numeric, note text);\nCREATE TABLE s.b (id int, b bytea);\n", want: "CREATE TABLE"},
		{name: "10 000 rows in", stdin: "\\copy s.r FROM '" + input + "' CSV\n", want: "COPY 10000"},
		{name: "10 000 rows out", stdin: "\\copy (SELECT * FROM s.r ORDER BY id) TO STDOUT CSV\n", want: "9999,name of 9999"},
		{name: "10 000 rows selected", stdin: "SELECT * FROM s.r ORDER BY id DESC;\n", want: "(10000 rows)"},
		{name: "10 000 rows by a cursor", args: []string{"-v", "FETCH_COUNT=77"}, stdin: "SELECT id, note FROM s.r ORDER BY id;\n", want: "9999"},
		{name: "many inserts", stdin: "CREATE TABLE s.i (n int);\n" + strings.Repeat("INSERT INTO s.i VALUES (1);\n", 500) + "SELECT sum(n) FROM s.i;\n", want: "500"},
		{name: "transaction", stdin: "BEGIN;\nUPDATE s.r SET price = 0 WHERE id < 100;\nSAVEPOINT p;\nDELETE FROM s.r;\nROLLBACK TO p;\nSELECT count(*) FROM s.r WHERE price = 0;\nROLLBACK;\nSELECT count(*) FROM s.r WHERE price = 0;\n", want: "ROLLBACK"},
		{name: "binary", stdin: "INSERT INTO s.b SELECT 1, string_agg(decode(lpad(to_hex(i % 256), 2, '0'), 'hex'), '') FROM generate_series(0, 1048575) i;\nSELECT length(b), md5(b), b FROM s.b;\n", want: "1048576"},
		{name: "large object", stdin: "\\lo_import '" + large + "'\nSELECT md5(lo_get(:LASTOID));\n\\lo_unlink :LASTOID\n", mask: regexp.MustCompile(`lo_(import|unlink) \d+`)},
		{name: "prepared statement", stdin: "PREPARE q (int) AS SELECT name FROM s.r WHERE id = $1;\nEXECUTE q(7);\nEXECUTE q(8);\n", want: "name of 8"},
		{name: "errors", stdin: "SELECT 1/0;\nSELECT nonsense;\nSELECT 'goes on';\n", want: "goes on"},
		{name: "error ends", args: []string{"-v", "ON_ERROR_STOP=1"}, stdin: "SELECT 1/0;\n", exit: 3},
		{name: "statement that takes too long", stdin: "SET statement_timeout = 200;\nSELECT pg_sleep(30);\nSELECT 'goes on';\n", want: "goes on"},
		{name: "listen and notify", stdin: listening, want: "message 200", mask: regexp.MustCompile(`PID \d+`)},
		{name: "session ended by the server", stdin: "SELECT pg_terminate_backend(pg_backend_pid());\n", exit: 2},
		{name: "no such database", args: []string{"-d", "nowhere"}, exit: 2},
	}
	connection := func(tls string) []string {
		return []string{"-X", "-P", "pager=off", "-d", fmt.Sprintf("host=127.0.0.1 port=%s user=spanwire dbname=postgres sslmode=%s", postgresPort, tls)}
	}
	var secure []step
	for _, s := range list {
		if !slices.Contains(s.args, "nowhere") { // -d takes the place of the connection's own
			s.name = "TLS " + s.name
			secure = append(secure, s)
		}
	}
	return client{
		name: "psql", version: "PostgreSQL " + versionOf(t, psql, "--version"), how: "a run for each case, against PostgreSQL, without TLS and with it",
		cases: func() []observation {
			all := steps(env, nil, psql, connection("disable"), list)
			all = append(all, cancelled(env, psql, connection("disable")))
			return append(all, steps(env, nil, psql, connection("require"), secure)...)
		},
	}
}

// cancelled has psql interrupted in the middle of a statement: it asks the server to cancel it, by another connection.
func cancelled(env *loopback, psql string, connection []string) observation {
	ctx, cancel := context.WithTimeout(env.t.Context(), clientPatience)
	defer cancel()
	cmd := env.command(ctx, nil, psql, append(slices.Clone(connection), "-c", "\\echo begun", "-c", "SELECT pg_sleep(60)")...)
	var got sidecar.Buffer
	cmd.Stdout, cmd.Stderr = &got, &got
	if err := cmd.Start(); err != nil {
		env.t.Fatal(err)
	}
	running := fmt.Sprintf("SELECT 'it ' || 'runs' FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%%' AND state = 'active' AND pid <> pg_backend_pid()")
	for deadline := time.Now().Add(sidecar.Patience); time.Now().Before(deadline); {
		if out, _ := runStep(env, nil, psql, append(slices.Clone(connection), "-c", running), ""); strings.Contains(out, "it runs") {
			break
		}
	}
	_ = cmd.Process.Signal(os.Interrupt)
	err := cmd.Wait()
	return observation{"cancel", err != nil && strings.Contains(got.String(), "canceling statement due to user request"), digest(got.String())}
}

// postgresBin is where Debian keeps PostgreSQL's server.
func postgresBin(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		need.Missing(t, "PostgreSQL's server", "apt-get install postgresql")
	}
	return filepath.Dir(found[len(found)-1])
}

// runAs runs a command as the suites' user; its failure ends the test.
func runAs(env *loopback, name string, args ...string) {
	env.t.Helper()
	if out, ok := output(env.command(env.t.Context(), nil, name, args...)); !ok {
		env.t.Fatalf("%s: %s", name, tail(out))
	}
}

// mariadbClient is mariadb, which was mysql.
func mariadbClient(env *loopback) client {
	t := env.t
	dir := ownDir(env, "mariadb")
	data := filepath.Join(dir, "data")
	runAs(env, need.Tool(t, "mariadb-install-db"), "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	server, cli := need.Tool(t, "mariadbd"), need.Tool(t, "mariadb")
	serve(env, net.JoinHostPort("127.0.0.1", mariadbPort), server, "--no-defaults", "--datadir="+data, "--socket="+filepath.Join(dir, "socket"),
		"--pid-file="+filepath.Join(dir, "pid"), "--bind-address=127.0.0.1", "--port="+mariadbPort, "--local-infile=1", "--max-allowed-packet=64M",
		"--innodb-flush-log-at-trx-commit=0", "--ssl-cert="+filepath.Join(env.dir, "ca.pem"), "--ssl-key="+filepath.Join(env.dir, "key.pem"))
	var tsv, inserts bytes.Buffer
	for i := range rows {
		fmt.Fprintf(&tsv, "%d\tname of %d\t%d\tGET / HTTP/1.1\n", i, i, i*3)
	}
	input := ownFile(env, "rows.tsv", tsv.Bytes())
	inserts.WriteString("CREATE TABLE s.i (n INT) ENGINE=InnoDB;\nSTART TRANSACTION;\n")
	inserts.WriteString(strings.Repeat("INSERT INTO s.i VALUES (1);\n", 500))
	inserts.WriteString("COMMIT;\nSELECT SUM(n) FROM s.i;\n")
	list := []step{
		{name: "schema", stdin: "DROP DATABASE IF EXISTS s;\nCREATE DATABASE s;\nCREATE TABLE s.r (id INT PRIMARY KEY, name VARCHAR(40), price INT, note TEXT) ENGINE=InnoDB;\nCREATE TABLE s.b (id INT, b LONGBLOB);\nSHOW TABLES IN s;\n", want: "r\n"},
		{name: "10 000 rows in", stdin: "LOAD DATA LOCAL INFILE '" + input + "' INTO TABLE s.r;\nSELECT COUNT(*) FROM s.r;\n", want: "10000"},
		{name: "10 000 rows out", stdin: "SELECT * FROM s.r ORDER BY id;\n", want: "name of 9999"},
		{name: "10 000 rows as they come", args: []string{"--quick"}, stdin: "SELECT * FROM s.r ORDER BY id DESC;\n", want: "name of 9999"},
		{name: "many inserts", stdin: inserts.String(), want: "500"},
		{name: "transaction", stdin: "START TRANSACTION;\nUPDATE s.r SET price = -1 WHERE id < 100;\nSAVEPOINT p;\nDELETE FROM s.r;\nROLLBACK TO p;\nSELECT COUNT(*) FROM s.r WHERE price = -1;\nROLLBACK;\nSELECT COUNT(*) FROM s.r WHERE price = -1;\n", want: "100"},
		{name: "binary in and out", stdin: fmt.Sprintf("INSERT INTO s.b VALUES (1, x'%x');\nSELECT LENGTH(b), MD5(b), HEX(b) FROM s.b;\n", binary(1<<20)), want: "1048576"},
		{name: "binary as it is", args: []string{"--raw", "--skip-column-names"}, stdin: "SELECT b FROM s.b;\n"},
		{name: "prepared statement", stdin: "PREPARE q FROM 'SELECT name FROM s.r WHERE id = ?';\nSET @n = 8;\nEXECUTE q USING @n;\n", want: "name of 8"},
		{name: "errors", args: []string{"--force"}, stdin: "SELECT nonsense;\nSELECT 'goes on';\n", exit: 0, want: "goes on"},
		{name: "error ends", stdin: "SELECT nonsense;\n", exit: 1},
		{name: "statement that takes too long", args: []string{"--force"}, stdin: "SET STATEMENT max_statement_time=0.2 FOR SELECT SLEEP(30);\nSELECT 'goes on';\n", want: "goes on"},
		{name: "session ended by the server", stdin: "KILL CONNECTION_ID();\n", exit: 1},
		{name: "wrong user", args: []string{"-u", "nobody", "-pwrong"}, exit: 1},
	}
	base := []string{"--no-defaults", "-h", "127.0.0.1", "-P", mariadbPort, "-u", "root", "--local-infile=1", "--max-allowed-packet=64M"}
	variant := func(name string, args ...string) []observation {
		named := slices.Clone(list)
		for i := range named {
			named[i].name = name + named[i].name
		}
		return steps(env, nil, cli, append(slices.Clone(base), args...), named)
	}
	return client{
		name: "mariadb", version: "MariaDB " + versionOf(t, server, "--version"), how: "a run for each case, against MariaDB's server: plain, compressed, and with TLS",
		cases: func() []observation {
			return slices.Concat(variant("", "--skip-ssl"), variant("compressed ", "--skip-ssl", "--compress"), variant("TLS ", "--ssl-ca="+filepath.Join(env.dir, "ca.pem")))
		},
	}
}
