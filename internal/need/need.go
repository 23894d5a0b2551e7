// Package need says what a test needs from the machine beyond Go. A test whose need is not met is skipped with a line that says
// what to install; where nothing may be left out (continuous integration sets SPANWIRE_REQUIRE_TOOLS=1) it fails instead, so that
// a machine set up wrongly cannot pass by testing less.
package need

import (
	"os"
	"os/exec"
	"testing"
)

// RequireVariable is the environment variable that turns skips into failures; any value but "" and "0" does.
const RequireVariable = "SPANWIRE_REQUIRE_TOOLS"

// packages names the Debian package of each tool that has another name than its package.
var packages = map[string]string{
	"ip":        "iproute2",
	"java":      "openjdk-17-jre-headless",
	"javac":     "openjdk-17-jdk-headless",
	"psql":      "postgresql-client",
	"redis-cli": "redis-tools",
	"nft":       "nftables",
	"nginx":     "nginx-light libnginx-mod-stream",
	"ss":        "iproute2",
	"tc":        "iproute2",
	"node":      "nodejs",
	"nsenter":   "util-linux",
	"setpriv":   "util-linux",
	"prlimit":   "util-linux",
	"unshare":   "util-linux",
	"ip6tables": "iptables",

	"mariadb": "mariadb-client-core", "mariadbd": "mariadb-server-core", "mariadb-install-db": "mariadb-server-core",
	"iptables-legacy": "iptables", "ip6tables-legacy": "iptables",
	"systemd-analyze": "systemd",
}

// systemDirs is searched after PATH: an ordinary user's PATH lacks them on Debian, and the tools there still answer --version.
var systemDirs = []string{"/usr/sbin", "/sbin", "/usr/local/sbin"}

// Find returns the path of the executable name, from PATH or a system directory; "" when there is none.
func Find(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range systemDirs {
		if path, err := exec.LookPath(dir + "/" + name); err == nil {
			return path
		}
	}
	return ""
}

// Install returns the line that tells a reader how to get the tool name on Debian.
func Install(name string) string {
	pkg, ok := packages[name]
	if !ok {
		pkg = name
	}
	return "apt-get install " + pkg
}

// Tool returns the path of the executable name. Without it the test is skipped, or fails where nothing may be skipped.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path := Find(name)
	if path == "" {
		Missing(t, name, Install(name))
	}
	return path
}

// Root makes sure that the test runs as root, with what that brings (network namespaces, redirect rules).
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "root", "run as root, for example: sudo make e2e")
	}
}

// Missing skips the test because what is not there, and how says how to get it; it fails where nothing may be skipped.
func Missing(t testing.TB, what, how string) {
	t.Helper()
	if Required() {
		t.Fatalf("needs %s (%s); %s is set, so nothing may be skipped", what, how, RequireVariable)
	}
	t.Skipf("needs %s: %s", what, how)
}

// Required reports whether nothing may be skipped.
func Required() bool {
	value := os.Getenv(RequireVariable)
	return value != "" && value != "0"
}
