//go:build e2e

package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/spanwire/spanwire/internal/need"
)

// composeFile is what the tests read of deploy/compose.yaml.
type composeFile struct {
	Services map[string]struct {
		Image       string
		NetworkMode string   `yaml:"network_mode"`
		CapDrop     []string `yaml:"cap_drop"`
		Command     []string
		Configs     []struct{ Source, Target string }
	}
	Configs map[string]struct{ Content string }
}

func readCompose(t *testing.T) (file composeFile) {
	t.Helper()
	b, err := os.ReadFile("../../deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestComposeSidecarsStart: the commands of the sidecars in the compose file start and get ready, each in a network namespace of its
// own, as compose has it; what they share with a service, that service is in the file.
func TestComposeSidecarsStart(t *testing.T) {
	need.Root(t)
	need.Tool(t, "ip")
	bin := os.Getenv("SPANWIRE_BIN")
	if bin == "" {
		need.Missing(t, "SPANWIRE_BIN", "run make e2e, which sets it")
	}
	file := readCompose(t)
	const script = `ip link set lo up; "$@" & pid=$!
"$1" wait --timeout 10s || { kill -9 $pid; exit 1; }
kill -TERM $pid; wait $pid`
	sidecars := 0
	for name, s := range file.Services {
		beside, ok := strings.CutPrefix(s.NetworkMode, "service:")
		if !ok {
			continue
		}
		sidecars++
		if _, ok := file.Services[beside]; !ok || len(s.CapDrop) != 1 || s.CapDrop[0] != "ALL" || !strings.Contains(s.Image, "spanwire") {
			t.Errorf("%s: beside %q, capabilities dropped: %q, image %q", name, beside, s.CapDrop, s.Image)
		}
		cmd := exec.Command("sh", append([]string{"-euc", script, "sh", bin}, s.Command...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	if sidecars != 2 {
		t.Errorf("%d sidecars, want one beside each service", sidecars)
	}
}

// asCompose makes a host for each service, as compose does, with names for each other, runs nginx and the sidecar there, and asks from outside.
const asCompose = `set -eu
mount --bind "$DIR/hosts" /etc/hosts
ip link set lo up
ip link add lan type bridge; ip addr add 10.79.0.1/24 dev lan; ip link set lan up
host() { # NAME NUMBER SIDECAR'S ARGUMENTS
  name=$1 number=$2; shift 2
  unshare -n sleep 60 & ns=$!
  until [ "$(readlink /proc/$ns/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
  ip link add name $name type veth peer name eth0 netns $ns; ip link set $name master lan up
  nsenter -t $ns -n sh -c "ip link set lo up; ip addr add 10.79.0.$number/24 dev eth0; ip link set eth0 up"
  nginx -t -q -c "$DIR/$name.conf"
  nsenter -t $ns -n nginx -c "$DIR/$name.conf" &
  nsenter -t $ns -n setpriv --reuid 1337 --regid 1337 --clear-groups --bounding-set -all --no-new-privs "$BIN" "$@" &
  sidecars="$sidecars $!"
}
sidecars=
host cart 3 $CART
host shop 2 $SHOP
n=0; until curl -sf -m 2 http://10.79.0.2:8080/; do n=$((n + 1)); [ $n -lt 200 ]; sleep 0.1; done
curl -s -m 20 -H 'X-Request-Id: the-one' http://10.79.0.2:8080/
kill -TERM $sidecars; wait $sidecars # which write out their access logs
`

// TestComposeDemoRuns: the services of the compose file, with the configurations and commands that stand in it, answer through each other, and
// what the sidecars record of a request is one trace.
func TestComposeDemoRuns(t *testing.T) {
	need.Root(t)
	for _, tool := range []string{"nginx", "ip", "unshare", "nsenter", "setpriv", "curl", "mount"} {
		need.Tool(t, tool)
	}
	bin := os.Getenv("SPANWIRE_BIN")
	if bin == "" {
		need.Missing(t, "SPANWIRE_BIN", "run make e2e, which sets it")
	}
	file, dir := readCompose(t), t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("hosts", "127.0.0.1 localhost\n10.79.0.1 jaeger\n10.79.0.2 shop\n10.79.0.3 cart\n")
	environ := append(os.Environ(), "DIR="+dir, "BIN="+bin)
	for _, name := range []string{"shop", "cart"} {
		s := file.Services[name]
		if len(s.Configs) != 1 || s.Configs[0].Target != "/etc/nginx/conf.d/default.conf" {
			t.Fatalf("%s: configurations %v", name, s.Configs)
		}
		content := strings.ReplaceAll(file.Configs[s.Configs[0].Source].Content, "$$", "$") // as compose does
		if content == "" {
			t.Fatalf("%s: no configuration %q", name, s.Configs[0].Source)
		}
		write(name+".conf", "user root;\ndaemon off;\npid "+dir+"/"+name+".pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n"+content+"}\n")
		environ = append(environ, strings.ToUpper(name)+"="+strings.Join(file.Services[name+"-sidecar"].Command, " ")+" --access-log=text")
	}
	// Whatever it leaves behind ends with its process namespace.
	cmd := exec.Command("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "timeout", "50", "sh", "-c", asCompose)
	cmd.Env = environ
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "a cart with three things\n") != 2 {
		t.Fatalf("%v\n%s", err, out)
	}
	traces := map[string]int{}
	for _, line := range strings.Split(string(out), "\n") {
		if m := regexp.MustCompile(`side=\w+ trace_id=(\w+) .*request_id=the-one`).FindStringSubmatch(line); m != nil {
			traces[m[1]]++
		}
	}
	if len(traces) != 1 {
		t.Errorf("%d traces of one request: %v\n%s", len(traces), traces, out)
	}
	for trace, n := range traces {
		if n != 3 {
			t.Errorf("%d sides in the trace %s, want inbound, outbound, inbound:\n%s", n, trace, out)
		}
	}
}
