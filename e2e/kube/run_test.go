//go:build e2e

package kube

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/spanwire/spanwire/internal/need"
)

// roleVariable names what this binary does instead of testing: serve HTTP at an address, get a URL, or connect to an address.
const roleVariable = "SPANWIRE_TEST_ROLE"

// TestMain lets the binary stand in for the application and for the kubelet.
func TestMain(m *testing.M) {
	role, what, _ := strings.Cut(os.Getenv(roleVariable), " ")
	client := &http.Client{Timeout: 2 * time.Second}
	switch role {
	case "serve":
		fmt.Println(http.ListenAndServe(what, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	case "get":
		resp, err := client.Get(what)
		if err != nil {
			fmt.Print("error")
			return
		}
		fmt.Print(resp.StatusCode)
	case "connect":
		if _, err := net.DialTimeout("tcp", what, 2*time.Second); err != nil {
			fmt.Print("refused")
			return
		}
		fmt.Print("accepted")
	default:
		os.Exit(m.Run())
	}
}

// asPod makes a network namespace for the Pod within that of the node, which this script is run in, runs what was injected as a
// kubelet would, and asks what a kubelet asks: NET_ADMIN alone for net-init, nothing for the sidecar.
const asPod = `set -eu
ip link set lo up
unshare -n sleep 60 & ns=$!
until [ "$(readlink /proc/$ns/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link add node type veth peer name pod netns $ns
ip addr add 10.77.0.1/24 dev node; ip link set node up
pod() { nsenter -t $ns -n "$@"; }
pod ip link set lo up; pod ip addr add 10.77.0.2/24 dev pod; pod ip link set pod up
pod setpriv --bounding-set -all,+net_admin --no-new-privs "$BIN" $NETINIT
eval "pod env $ENVIRON setpriv --reuid 1337 --regid 1337 --clear-groups --bounding-set -all --no-new-privs \"$BIN\" run" &
kubelet() { SPANWIRE_TEST_ROLE="$*" "$SELF"; }
until [ "$(kubelet get http://10.77.0.2:14958/readyz)" = 200 ]; do sleep 0.05; done
echo "dead: probe $(kubelet get http://10.77.0.2:14958/probe/tcp/8000), bare $(kubelet connect 10.77.0.2:8000)"
SPANWIRE_TEST_ROLE="serve 10.77.0.2:8000" pod setpriv --reuid 65534 --clear-groups "$SELF" &
until [ "$(kubelet get http://10.77.0.2:14958/probe/tcp/8000)" = 200 ]; do sleep 0.05; done
echo "alive: request $(kubelet get http://10.77.0.2:8000/)"
echo "not named: $(kubelet get http://10.77.0.2:14958/probe/tcp/22)"
`

// TestInjectedContainersRun: what inject writes is more than valid: net-init's arguments install the rules with the capability that
// it asks for, the sidecar's variables start it without any, and the probe that takes the place of tcpSocket tells a dead application
// from a live one, where a bare connection does not.
func TestInjectedContainersRun(t *testing.T) {
	need.Root(t)
	for _, tool := range []string{"ip", "unshare", "nsenter", "setpriv"} {
		need.Tool(t, tool)
	}
	text := inject(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: cart}\nspec:\n  containers:\n  - name: app\n    image: app\n"+
		"    ports: [{name: http, containerPort: 8000}]\n    livenessProbe: {tcpSocket: {port: http}}\n", "--set", "exporter=none")
	var pod struct {
		Spec struct {
			InitContainers []struct {
				Args []string
				Env  []struct{ Name, Value string }
			} `yaml:"initContainers"`
			Containers []struct {
				LivenessProbe struct {
					HTTPGet struct {
						Path string
						Port int
					} `yaml:"httpGet"`
				} `yaml:"livenessProbe"`
			}
		}
	}
	if err := yaml.Unmarshal([]byte(text), &pod); err != nil || len(pod.Spec.InitContainers) != 2 {
		t.Fatalf("%v\n%s", err, text)
	}
	if get := pod.Spec.Containers[0].LivenessProbe.HTTPGet; get.Path != "/probe/tcp/8000" || get.Port != 14958 {
		t.Errorf("the probe became %+v", get)
	}
	var environ []string
	for _, e := range pod.Spec.InitContainers[1].Env {
		environ = append(environ, "'"+e.Name+"="+e.Value+"'")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Whatever it leaves behind ends with its process namespace.
	cmd := exec.Command("unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", "timeout", "40", "sh", "-c", asPod)
	cmd.Env = append(os.Environ(), "BIN="+os.Getenv("SPANWIRE_BIN"), "SELF="+self,
		"NETINIT="+strings.Join(pod.Spec.InitContainers[0].Args, " "), "ENVIRON="+strings.Join(environ, " "))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	for _, want := range []string{"dead: probe 503, bare accepted\n", "alive: request 200\n", "not named: 404\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("want %q, %v:\n%s", want, err, out.String())
		}
	}
}
