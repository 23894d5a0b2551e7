// Package hosts makes network namespaces that stand for hosts: each with an interface on one bridge, in one namespace that stands for the network
// outside. Whoever uses it runs in that outer namespace. All of it ends with the processes that hold it; nothing is left behind, however
// they end.
package hosts

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/spanwire/spanwire/demo/mesh"
)

// ErrTool says that a tool is missing or failed.
var ErrTool = errors.New("tool")

// bridge is the name of the bridge; its addresses are those of the outside.
const bridge = "outside0"

// The addresses end in the number of the host; the outside is number 9.
const (
	prefix4, prefix6 = "10.77.0.", "fd77::"
	outside          = 9
)

// Address returns the address of host number n, in square brackets for IPv6.
func Address(n int, v6 bool) string {
	if v6 {
		return fmt.Sprintf("[%s%d]", prefix6, n)
	}
	return fmt.Sprintf("%s%d", prefix4, n)
}

// Outside returns the address of the outside.
func Outside(v6 bool) string { return Address(outside, v6) }

// Isolate runs this program again with these arguments in a network namespace of its own, and returns its exit code.
func Isolate(args ...string) (int, error) {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return 0, fmt.Errorf("a network namespace: %w", err)
	}
	return cmd.ProcessState.ExitCode(), nil
}

// Hold is what a process does that holds a host: nothing, until its standard input ends.
func Hold() { _, _ = io.Copy(io.Discard, os.Stdin) }

// Host is one of them.
type Host struct {
	Number int
	pid    int
	port   string // its end on the bridge; "" before there is one
	cmd    *exec.Cmd
	stdin  io.Closer
}

// Open makes the bridge, for the outside.
func Open() error {
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"link", "add", bridge, "type", "bridge", "forward_delay", "0"},
		{"address", "add", Address(outside, false) + "/24", "dev", bridge},
		{"address", "add", strings.Trim(Address(outside, true), "[]") + "/64", "dev", bridge, "nodad"},
		{"link", "set", bridge, "up"},
	} {
		if err := run("ip", args...); err != nil {
			return err
		}
	}
	return nil
}

// New makes host number n; holder are the arguments with which this program calls Hold.
func New(n int, holder ...string) (*Host, error) {
	cmd := exec.Command("/proc/self/exe", holder...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("host %d: %w", n, err)
	}
	h := &Host{Number: n, pid: cmd.Process.Pid, cmd: cmd, stdin: stdin}
	if err := h.connect(); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// connect puts the host on the bridge.
func (h *Host) connect() error {
	port := fmt.Sprintf("port%d", h.Number)
	if err := run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(h.pid)); err != nil {
		return err
	}
	h.port = port
	err := run("ip", "link", "set", port, "master", bridge, "up")
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"address", "add", Address(h.Number, false) + "/24", "dev", "eth0"},
		{"address", "add", strings.Trim(Address(h.Number, true), "[]") + "/64", "dev", "eth0", "nodad"},
		{"link", "set", "eth0", "up"},
	} {
		if err == nil {
			_, err = h.Run("ip", args...)
		}
	}
	return err
}

// Close ends the host; its interface and its rules go with it. The interface is removed first: the kernel takes a namespace down some time
// after the last process has left it, and till then the name of its port would be taken for the next host of that number.
func (h *Host) Close() {
	if h.port != "" {
		_ = run("ip", "link", "delete", h.port)
	}
	_ = h.stdin.Close()
	_ = h.cmd.Wait()
}

// Run runs a command on the host as root, and returns what it wrote.
func (h *Host) Run(name string, args ...string) (string, error) {
	return output("nsenter", append([]string{"-t", fmt.Sprint(h.pid), "-n", name}, args...)...)
}

// Start starts a process on the host as the user and group id. It is killed should the caller end first.
func (h *Host) Start(name string, id int, path string, args ...string) (*mesh.Process, error) {
	enter := []string{"-t", fmt.Sprint(h.pid), "-n", "setpriv", "--reuid", fmt.Sprint(id), "--regid", fmt.Sprint(id), "--clear-groups",
		"--pdeathsig", "KILL", path}
	tool, err := exec.LookPath("nsenter")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTool, err)
	}
	return mesh.StartProcess(name, tool, append(enter, args...), nil)
}

// run is output of which nothing is wanted.
func run(name string, args ...string) error {
	_, err := output(name, args...)
	return err
}

// output runs a tool.
func output(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w %s %s: %w: %s", ErrTool, name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}
