package inject

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Names of the containers; one of them in a Pod means that it has a sidecar.
const (
	sidecarName = "spanwire"
	netInitName = "spanwire-net-init"
)

const (
	// user is the uid and gid of the sidecar; the rules let its connections pass.
	user = 1337
	// program is where deploy/Dockerfile puts the binary.
	program = "/spanwire"
)

// podVariables are the variables that the downward API sets, and the resource attribute that each becomes
// (OpenTelemetry's semantic conventions, Kubernetes).
func podVariables() []struct{ variable, field, attribute string } {
	return []struct{ variable, field, attribute string }{
		{"POD_NAME", "metadata.name", "k8s.pod.name"},
		{"POD_UID", "metadata.uid", "k8s.pod.uid"},
		{"POD_NAMESPACE", "metadata.namespace", "k8s.namespace.name"},
		{"NODE_NAME", "spec.nodeName", "k8s.node.name"},
	}
}

// plan is all that the containers of one Pod are made from.
type plan struct {
	image   string
	legacy  bool
	netInit bool
	service string
	// rules are flags of `spanwire intercept add`; variables are those of the settings, values and all.
	rules     map[string]string
	variables map[string]string
	ports     Ports
	// appPorts are the TCP ports that the containers declare, graceSeconds the time between SIGTERM and SIGKILL.
	appPorts     []int
	graceSeconds int
}

// variable returns the environment variable of a setting.
func variable(setting string) string {
	return "SPANWIRE_" + strings.ToUpper(strings.ReplaceAll(setting, "-", "_"))
}

// sidecar returns the sidecar's container. In the native form it is an init container that the kubelet keeps running: it starts
// after net-init and before all others, and stops after them. In the legacy form its start hook holds the containers after it until
// it is ready, and its stop hook holds its own SIGTERM until the application's ports are closed.
func (p *plan) sidecar() mapping {
	c := mapping{{"name", sidecarName}, {"image", p.image}, {"imagePullPolicy", "IfNotPresent"}, {"args", []any{"run"}}}
	if !p.legacy {
		c = append(c, entry{"restartPolicy", "Always"})
	}
	c = append(c, entry{"env", p.env()})
	if p.ports.Metrics != 0 {
		c = append(c, entry{"ports", []any{mapping{{"name", "spanwire"}, {"containerPort", p.ports.Metrics}, {"protocol", "TCP"}}}})
	}
	switch {
	case p.legacy:
		c = append(c, entry{"lifecycle", p.hooks()})
	case p.ports.Metrics != 0:
		c = append(c, entry{"startupProbe", mapping{
			{"httpGet", mapping{{"path", "/readyz"}, {"port", p.ports.Metrics}}}, {"periodSeconds", 1}, {"failureThreshold", 60}}})
	default:
		c = append(c, entry{"startupProbe", mapping{
			{"exec", mapping{{"command", []any{program, "wait", "--timeout=1s"}}}}, {"periodSeconds", 1}, {"timeoutSeconds", 2}, {"failureThreshold", 60}}})
	}
	return append(c, entry{"resources", mapping{
		{"requests", mapping{{"cpu", "10m"}, {"memory", "32Mi"}}}, {"limits", mapping{{"memory", "256Mi"}}}}},
		entry{"securityContext", security(user, nil)})
}

// stopReserveSeconds of the grace period are kept for the sidecar's own drain after the application's ports are closed.
const stopReserveSeconds = 5

// hooks are the start and stop hooks of the legacy form. The kubelet starts the next container only when a start hook is done.
func (p *plan) hooks() mapping {
	m := mapping{{"postStart", mapping{{"exec", mapping{{"command", []any{program, "wait", "--timeout=60s"}}}}}}}
	if wait := p.graceSeconds - stopReserveSeconds; len(p.appPorts) > 0 && wait > 0 {
		var ports []string
		for _, port := range p.appPorts {
			ports = append(ports, strconv.Itoa(port))
		}
		m = append(m, entry{"preStop", mapping{{"exec", mapping{{"command", []any{
			program, "wait", "--closed=" + strings.Join(ports, ","), "--timeout=" + strconv.Itoa(wait) + "s"}}}}}})
	}
	return m
}

// env returns the sidecar's variables: those of the Pod first, since the kubelet expands only what stands before.
func (p *plan) env() []any {
	var env []any
	for _, v := range podVariables() {
		env = append(env, mapping{{"name", v.variable}, {"valueFrom", mapping{{"fieldRef", mapping{{"fieldPath", v.field}}}}}})
	}
	for _, name := range slices.Sorted(maps.Keys(p.variables)) {
		env = append(env, mapping{{"name", name}, {"value", p.variables[name]}})
	}
	return env
}

// netInitContainer returns the init container that installs the rules. It is root by its own securityContext, which reaches no
// other container, and keeps one capability: netlink asks for NET_ADMIN (man 7 netlink), nothing else.
func (p *plan) netInitContainer() mapping {
	args := []any{"intercept", "add", "--uid=" + strconv.Itoa(user), "--gid=" + strconv.Itoa(user)}
	for _, name := range slices.Sorted(maps.Keys(p.rules)) {
		args = append(args, "--"+name+"="+p.rules[name])
	}
	return mapping{{"name", netInitName}, {"image", p.image}, {"imagePullPolicy", "IfNotPresent"}, {"args", args},
		{"resources", mapping{{"requests", mapping{{"cpu", "10m"}, {"memory", "32Mi"}}}, {"limits", mapping{{"memory", "64Mi"}}}}},
		{"securityContext", security(0, []any{"NET_ADMIN"})}}
}

// security returns a container's securityContext with all dropped but what is named.
func security(uid int, add []any) mapping {
	capabilities := mapping{{"drop", []any{"ALL"}}}
	if len(add) > 0 {
		capabilities = append(mapping{{"add", add}}, capabilities...)
	}
	return mapping{{"runAsUser", uid}, {"runAsGroup", uid}, {"runAsNonRoot", uid != 0}, {"allowPrivilegeEscalation", false},
		{"readOnlyRootFilesystem", true}, {"capabilities", capabilities}, {"seccompProfile", mapping{{"type", "RuntimeDefault"}}}}
}
