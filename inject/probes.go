package inject

import (
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// containersOf returns the elements of a list of containers.
func containersOf(spec *ast.MappingNode, key string) []ast.Node {
	s, _ := bare(valueAt(spec, key)).(*ast.SequenceNode)
	if s == nil {
		return nil
	}
	return s.Values
}

// declaredPorts returns the TCP ports that a container declares, by name ("" for those without).
func declaredPorts(container *ast.MappingNode, each func(name string, port int)) {
	s, _ := bare(valueAt(container, "ports")).(*ast.SequenceNode)
	if s == nil {
		return
	}
	for _, n := range s.Values {
		p := asMapping(n)
		if p == nil {
			continue
		}
		if protocol := stringAt(p, "protocol"); protocol != "" && protocol != "TCP" {
			continue
		}
		if port, ok := portNumber(stringAt(p, "containerPort")); ok {
			each(stringAt(p, "name"), port)
		}
	}
}

func portNumber(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err == nil && n != 0
}

// probe is a tcpSocket probe that is rewritten.
type probe struct {
	in   *ast.MappingNode // the probe
	i    int              // its entry tcpSocket
	port int
}

// probes returns the tcpSocket probes of the Pod that would pass whatever the application does: behind a redirect it is the
// sidecar that accepts. Those that name a host are the kubelet's business with that host.
func (j *job) probes(t template) ([]probe, error) {
	var found []probe
	rewritten := map[ast.Node]bool{}
	var containers []ast.Node
	for _, key := range []string{"initContainers", "containers"} {
		containers = append(containers, containersOf(t.spec, key)...)
	}
	for _, n := range containers {
		container := asMapping(n)
		if container == nil {
			continue
		}
		for _, key := range []string{"startupProbe", "livenessProbe", "readinessProbe"} {
			p, err := j.probe(container, asMapping(valueAt(container, key)))
			if err != nil {
				return nil, err
			}
			if p != nil {
				found = append(found, *p)
				rewritten[p.in.Values[p.i]] = true
			}
		}
	}
	for _, n := range containers {
		if err := j.aliased(n, rewritten); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// probe returns the probe if it is one to be rewritten, else nil.
func (j *job) probe(container, m *ast.MappingNode) (*probe, error) {
	entry, i := entryAt(m, "tcpSocket")
	if entry == nil {
		return nil, nil
	}
	if _, ok := entry.Value.(*ast.MappingNode); !ok {
		if asMapping(entry.Value) == nil && mergedNothing(entry.Value) {
			return nil, nil // no port: the API server says so better
		}
		return nil, j.doc.at(entry.Value, "tcpSocket under an anchor, an alias or a tag: write it out")
	}
	socket := asMapping(entry.Value)
	if e := mergeIn(socket); e != nil {
		return nil, j.doc.at(e.Key, "a merge key within tcpSocket: write it out")
	}
	value := valueAt(socket, "port")
	if alias, ok := value.(*ast.AliasNode); ok {
		return nil, j.doc.at(alias, "an alias for a probe's port: write it out")
	}
	written, ok := scalarText(value)
	if host := stringAt(socket, "host"); !ok || host != "" {
		return nil, nil
	}
	port, ok := portNumber(written)
	if !ok {
		declaredPorts(container, func(name string, number int) {
			if name == written {
				port, ok = number, true
			}
		})
	}
	if !ok {
		return nil, j.doc.at(value, "a probe of port %q, which is no port that the container declares", written)
	}
	return &probe{m, i, port}, nil
}

// mergedNothing reports whether a value is null or a scalar.
func mergedNothing(n ast.Node) bool {
	switch n.(type) {
	case *ast.AliasNode, *ast.AnchorNode, *ast.TagNode:
		return false
	}
	return true
}

// aliased refuses a container that takes a tcpSocket probe from an anchor where it was not rewritten, or where its port's name
// means the port of another container.
func (j *job) aliased(n ast.Node, rewritten map[ast.Node]bool) error {
	for alias := range nodes(n) {
		a, ok := alias.(*ast.AliasNode)
		if !ok {
			continue
		}
		for inner := range nodes(j.anchors[a.Value.GetToken().Value]) {
			e, ok := inner.(*ast.MappingValueNode)
			if !ok || keyText(e.Key) != "tcpSocket" {
				continue
			}
			_, numeric := portNumber(stringAt(asMapping(e.Value), "port"))
			if !numeric || !rewritten[e] && stringAt(asMapping(e.Value), "host") == "" {
				return j.doc.at(a, "an alias for a tcpSocket probe: write it out")
			}
		}
	}
	return nil
}

// nodes ranges over a node and all below it; aliases are not followed.
func nodes(n ast.Node) func(func(ast.Node) bool) {
	return func(yield func(ast.Node) bool) { walk(n, yield) }
}

func walk(n ast.Node, yield func(ast.Node) bool) bool {
	if n == nil {
		return true
	}
	if !yield(n) {
		return false
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, e := range n.Values {
			if !walk(e, yield) {
				return false
			}
		}
	case *ast.MappingValueNode:
		return walk(n.Key, yield) && walk(n.Value, yield)
	case *ast.SequenceNode:
		for _, v := range n.Values {
			if !walk(v, yield) {
				return false
			}
		}
	case *ast.AnchorNode:
		return walk(n.Value, yield)
	case *ast.TagNode:
		return walk(n.Value, yield)
	}
	return true
}

// httpProbe is what takes the place of tcpSocket: the sidecar dials the port.
func httpProbe(port, metricsPort int) mapping {
	return mapping{{"path", "/probe/tcp/" + strconv.Itoa(port)}, {"port", metricsPort}}
}

// portList returns ports as a comma list, each once, in order.
func portList(ports []int) string {
	slices.Sort(ports)
	var texts []string
	for _, p := range slices.Compact(ports) {
		texts = append(texts, strconv.Itoa(p))
	}
	return strings.Join(texts, ",")
}
