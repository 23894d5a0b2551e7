package inject

import (
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// distinct returns the containers of a list, with aliases resolved and each once, however many aliases mean it.
func (d *document) distinct(spec *ast.MappingNode, key string) (all []*ast.MappingNode) {
	seen := map[*ast.MappingNode]bool{}
	for _, n := range containersOf(spec, key) {
		if m := asMapping(d.resolve(n)); m != nil && !seen[m] {
			seen[m] = true
			all = append(all, m)
		}
	}
	return all
}

// containersOf returns the elements of a list of containers.
func containersOf(spec *ast.MappingNode, key string) []ast.Node {
	s, _ := bare(valueAt(spec, key)).(*ast.SequenceNode)
	if s == nil {
		return nil
	}
	return s.Values
}

// declaredPort is a TCP port that a container declares, "" for one without a name.
type declaredPort struct {
	name   string
	number int
}

// declaredPorts returns the TCP ports that a container declares. The list is kept, since many containers may have an alias for one.
func (d *document) declaredPorts(container *ast.MappingNode) ([]declaredPort, error) {
	value, err := d.read(container, "ports")
	if err != nil {
		return nil, err
	}
	s, _ := bare(value).(*ast.SequenceNode)
	if s == nil {
		return nil, nil
	}
	ports, known := d.ports[s]
	if !known {
		if ports, err = d.listedPorts(s); err != nil {
			return nil, err
		}
		d.ports[s] = ports
	}
	return ports, nil
}

func (d *document) listedPorts(s *ast.SequenceNode) (ports []declaredPort, err error) {
	seen := map[*ast.MappingNode]bool{}
	for _, n := range s.Values {
		p := asMapping(d.resolve(n))
		if p == nil || seen[p] {
			continue
		}
		seen[p] = true
		protocol, err := d.readText(p, "protocol")
		if err != nil {
			return nil, err
		}
		name, err := d.readText(p, "name")
		if err != nil {
			return nil, err
		}
		number, err := d.readInt(p, "containerPort", 0)
		if err != nil {
			return nil, err
		}
		if number > 0 && number < 1<<16 && (protocol == "" || protocol == "TCP") {
			ports = append(ports, declaredPort{name, number})
		}
	}
	return ports, nil
}

// portNumber reads a port as every reader of YAML does: in decimal digits, without a zero in front.
func portNumber(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err == nil && n != 0 && s[0] != '0'
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
	seen := map[string]bool{} // anchors, each of which is looked at once
	for _, n := range containers {
		if err := j.aliased(n, rewritten, seen); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// probe returns the probe if it is one to be rewritten, else nil.
func (j *job) probe(container, m *ast.MappingNode) (*probe, error) {
	if m == nil {
		return nil, nil
	}
	if err := j.doc.plainKeys(m); err != nil {
		return nil, err
	}
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
	if err := j.doc.plainKeys(socket); err != nil {
		return nil, err
	}
	value := valueAt(socket, "port")
	if alias, ok := value.(*ast.AliasNode); ok {
		return nil, j.doc.at(alias, "an alias for a probe's port: write it out")
	}
	host := valueAt(socket, "host")
	if alias, ok := bare(host).(*ast.AliasNode); ok {
		return nil, j.doc.at(alias, "an alias for a probe's host: write it out")
	}
	written, ok, err := j.doc.scalar(value)
	if err != nil {
		return nil, err
	}
	if text, _, err := j.doc.scalar(host); !ok || text != "" || err != nil {
		return nil, err
	}
	port, ok := portNumber(written)
	if !ok {
		ports, err := j.doc.declaredPorts(container)
		if err != nil {
			return nil, err
		}
		for _, p := range ports {
			if p.name == written {
				port, ok = p.number, true
			}
		}
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
// means the port of another container; and one that merges such a probe in.
func (j *job) aliased(n ast.Node, rewritten map[ast.Node]bool, seen map[string]bool) error {
	for node := range nodes(n) {
		if e, ok := node.(*ast.MappingValueNode); ok && e.Key.Type() == ast.MergeKeyType && len(slices.Collect(sockets(e.Value))) > 0 {
			return j.doc.at(e.Key, "a merge key for a tcpSocket probe: write it out")
		}
		a, ok := node.(*ast.AliasNode)
		if !ok {
			continue
		}
		name := a.Value.GetToken().Value
		if seen[name] {
			continue
		}
		seen[name] = true
		x := j.doc.anchors[name]
		if x == nil || x.value == nil {
			return j.doc.at(a, "an alias of no anchor, or of one of two: write it out")
		}
		for e := range sockets(x.value) {
			_, numeric := portNumber(stringAt(asMapping(e.Value), "port"))
			if !numeric || !rewritten[e] && stringAt(asMapping(e.Value), "host") == "" {
				return j.doc.at(a, "an alias for a tcpSocket probe: write it out")
			}
		}
	}
	return nil
}

// sockets ranges over the entries tcpSocket in a node and below it, and those whose key may be that: with a question mark, an anchor, an alias
// or a tag.
func sockets(n ast.Node) func(func(*ast.MappingValueNode) bool) {
	return func(yield func(*ast.MappingValueNode) bool) {
		for inner := range nodes(n) {
			if e, ok := inner.(*ast.MappingValueNode); ok && (keyText(e.Key) == "tcpSocket" || !plainKey(e.Key)) && !yield(e) {
				return
			}
		}
	}
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
