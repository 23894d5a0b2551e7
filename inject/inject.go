// Package inject puts the sidecar into Kubernetes manifests and takes it out again. It edits the text, never writes YAML anew: each byte
// that is not ours stays as it was, comments, quoting, anchors and order with it, and what is ours stands between marks.
//
// Nothing is believed: before a text is returned, it is parsed again and must say exactly what was meant, and taking the sidecar out of
// it must give the input. What cannot be edited with that certainty is an error with its line and column, never a guess.
package inject

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Options say what is injected. Annotations of a Pod override them.
type Options struct {
	// Image is the image of both containers.
	Image string
	// ServiceName is the name on the spans; "" = the name of the workload.
	ServiceName string
	// Legacy: the sidecar is an ordinary container, for clusters before 1.29.
	Legacy bool
	// NoNetInit leaves the init container out: the rules are somebody else's, or the listeners explicit.
	NoNetInit bool
	// Rules are flags of `spanwire intercept add` with their values, Settings are settings of `spanwire run`.
	Rules, Settings map[string]string
	// RuleNames are the flags of `spanwire intercept add` that an annotation may set.
	RuleNames []string
	// CheckRules and CheckSettings refuse what the sidecar would refuse at its start. CheckSettings gets an environment ("NAME=value"
	// strings) and returns the ports that follow from it. Invariant: both are set.
	CheckRules    func(flags map[string]string) error
	CheckSettings func(environ []string) (Ports, error)
}

// Ports are the ports of the sidecar's listeners, 0 for those that are off. So is Metrics at a loopback address, where the kubelet cannot ask.
type Ports struct {
	Transparent, Admin, Metrics int
	// Explicit has the port of each explicit listener, and the port of the application behind it, 0 for one of outbound requests.
	Explicit map[int]int
}

// Result is what Inject returns.
type Result struct {
	Text []byte
	// Notes has a line for each Pod in the stream: what was done, or why nothing.
	Notes []string
	// Injected is how many Pods have the sidecar now.
	Injected int
}

// job is the injection into one stream.
type job struct {
	opts Options
	*editor
	result *Result
}

// Inject puts the sidecar into every Pod of a stream of YAML documents. A stream that has it already gets what it would get now.
func Inject(in []byte, opts Options) (*Result, error) {
	plain, _, err := Uninject(in)
	if err != nil {
		return nil, err
	}
	src, err := newSource(plain)
	if err != nil {
		return nil, err
	}
	result := &Result{}
	var regions []region
	docs := src.documents()
	trees := make([]*tree, len(docs))
	for i, d := range docs {
		j := &job{opts: opts, result: result, editor: &editor{doc: d}}
		if err := j.document(); err != nil {
			return nil, err
		}
		own, err := j.finish()
		if err != nil {
			return nil, err
		}
		if len(own) > 0 {
			trees[i] = j.root
			regions = append(regions, own...)
		}
	}
	result.Text = src.apply(regions)
	if err := prove(plain, result.Text, docs, trees); err != nil {
		return nil, err
	}
	return result, nil
}

// prove makes sure that out says what the trees say (nil: the document is unchanged), and that the way back leads to in.
func prove(in, out []byte, docs []*document, trees []*tree) error {
	back, _, err := Uninject(out)
	src, srcErr := newSource(out)
	for i, d := range docs {
		if trees[i] == nil {
			continue
		}
		failed := &Error{d.from + 1, 1, "the document that begins here cannot be edited safely as it is written: write its Pods in plain block style"}
		if err != nil || srcErr != nil || !bytes.Equal(back, in) {
			return failed
		}
		edited := src.documents()
		if len(edited) != len(docs) {
			return failed
		}
		body, err := edited[i].parse()
		b := builder{of: map[ast.Node]*tree{}}
		if err != nil || !b.build(body).equal(trees[i]) {
			return failed
		}
	}
	if err != nil || !bytes.Equal(back, in) {
		return &Error{1, 1, "the stream holds lines that look like the marks of an injection"}
	}
	return nil
}

// document edits one document.
func (j *job) document() error {
	body, err := j.doc.parse()
	if err != nil || body == nil {
		return err
	}
	j.doc.findAnchors(body)
	templates, err := j.doc.templates(body)
	if err != nil || len(templates) == 0 {
		return err
	}
	if m := asMapping(body); m.IsFlowStyle {
		return j.doc.at(m, "JSON, or YAML in flow style as a whole, has no place for the marks that uninject needs: convert it to block style first")
	}
	j.trees = builder{of: map[ast.Node]*tree{}}
	j.root = j.trees.build(body)
	for _, t := range templates {
		why, err := j.template(t)
		if err != nil {
			return err
		}
		name := strings.ToLower(t.kind) + "/" + t.name
		if why == "" {
			j.result.Injected++
			j.result.Notes = append(j.result.Notes, name+": injected")
		} else {
			j.result.Notes = append(j.result.Notes, name+": left as it is: "+why)
		}
	}
	return nil
}

// template edits one Pod; why says for what reason it was left alone.
func (j *job) template(t template) (why string, err error) {
	w, err := j.wishesOf(t)
	if err != nil {
		return "", err
	}
	if w.skip {
		return prefix + `inject is "false"`, nil
	}
	if why, err = j.elsewhere(t.spec); why != "" || err != nil {
		return why, err
	}
	sidecar, err := j.hasSidecar(t.spec)
	if err != nil {
		return "", err
	}
	containers, isList := bare(valueAt(t.spec, "containers")).(*ast.SequenceNode)
	switch {
	case !isList && valueAt(t.spec, "containers") != nil && !empty(valueAt(t.spec, "containers")):
		return "", j.doc.at(valueAt(t.spec, "containers"), "containers: want a list")
	case !isList || len(containers.Values) == 0:
		return "it has no containers", nil
	case sidecar:
		return "it has a container " + sidecarName + " already", nil
	}
	probes, err := j.probes(t)
	if err != nil {
		return "", err
	}
	p, err := j.plan(t, w, probes)
	if err != nil {
		return "", err
	}
	return "", j.edit(t, p, probes)
}

// elsewhere says why a Pod is none that a sidecar can be put into.
func (j *job) elsewhere(spec *ast.MappingNode) (why string, err error) {
	if e := mergeIn(spec); e != nil {
		return "", j.doc.at(e.Key, "a merge key in a Pod's spec: write it out")
	}
	hostNetwork, err := j.doc.readBool(spec, "hostNetwork")
	if err != nil {
		return "", err
	}
	if hostNetwork {
		return "it has the host's network, where rules would catch every process of the node", nil
	}
	os, err := j.doc.read(spec, "os")
	if err != nil {
		return "", err
	}
	name, err := j.doc.readText(asMapping(os), "name")
	if err != nil {
		return "", err
	}
	if name == "windows" {
		return "it is for Windows, where there is no sidecar", nil
	}
	return "", nil
}

func empty(n ast.Node) bool {
	_, isNull := bare(n).(*ast.NullNode)
	return isNull
}

// hasSidecar reports whether the Pod has one of our containers.
func (j *job) hasSidecar(spec *ast.MappingNode) (bool, error) {
	for _, key := range []string{"initContainers", "containers"} {
		if alias, ok := bare(valueAt(spec, key)).(*ast.AliasNode); ok {
			return false, j.doc.at(alias, "an alias for %q: write it out", key)
		}
		for _, c := range j.doc.distinct(spec, key) {
			name, err := j.doc.readText(c, "name")
			if err != nil {
				return false, err
			}
			if name == sidecarName || name == netInitName {
				return true, nil
			}
		}
	}
	return false, nil
}

// edit makes the changes of one Pod.
func (j *job) edit(t template, p *plan, probes []probe) error {
	// Each probe is an entry that keeps its position, so the order of these edits does not matter to the tree.
	for _, x := range probes {
		if err := j.replaceEntry(x.in, x.i, "httpGet", httpProbe(x.port, p.ports.Metrics)); err != nil {
			return err
		}
	}
	var init []any
	if p.netInit {
		init = append(init, p.netInitContainer())
	}
	if p.legacy {
		// The rules come last: while other init containers run, no sidecar does yet.
		if len(init) > 0 {
			if err := j.addItems(t.spec, "initContainers", init, true); err != nil {
				return err
			}
		}
		return j.addItems(t.spec, "containers", []any{p.sidecar()}, false)
	}
	return j.addItems(t.spec, "initContainers", append(init, p.sidecar()), false)
}

// defaultGraceSeconds is Kubernetes' default of terminationGracePeriodSeconds.
const defaultGraceSeconds = 30

// plan decides what the containers of one Pod are.
func (j *job) plan(t template, w *wishes, probes []probe) (*plan, error) {
	p := &plan{image: w.image, legacy: w.legacy, netInit: w.netInit, service: w.service, rules: w.rules}
	if p.service == "" {
		p.service = t.name
	}
	if p.service == "" {
		return nil, j.doc.at(t.owner, "a %s without a name: say in the annotation %sservice-name what it is called", t.kind, prefix)
	}
	if err := j.settle(t, w, p, probes); err != nil {
		return nil, err
	}
	if p.legacy {
		if err := j.stop(t, p); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// stop finds out what the stop hook of the legacy form waits for, and for how long. At a declared port there may be an explicit listener of the
// sidecar's own, which closes only after the hook: the application is behind it.
func (j *job) stop(t template, p *plan) (err error) {
	if p.graceSeconds, err = j.doc.readInt(t.spec, "terminationGracePeriodSeconds", defaultGraceSeconds); err != nil {
		return err
	}
	var open [1 << 16]bool
	for _, c := range j.doc.distinct(t.spec, "containers") {
		ports, err := j.doc.declaredPorts(c)
		if err != nil {
			return err
		}
		for _, port := range ports {
			if behind, ours := p.ports.Explicit[port.number]; ours {
				port.number = behind
			}
			open[port.number] = true
		}
	}
	for port, is := range open {
		if is && port > 0 {
			p.appPorts = append(p.appPorts, port)
		}
	}
	return nil
}

// settle fixes the sidecar's settings and the flags of the rules, and has both checked.
func (j *job) settle(t template, w *wishes, p *plan, probes []probe) error {
	values := map[string]string{"metrics": ":14958", "ignore-agent": "kube-probe/*"}
	maps.Copy(values, w.settings)
	values["service-name"] = p.service
	values["resource"] = resources(t, values["resource"])
	var ports []int
	for _, x := range probes {
		ports = append(ports, x.port)
	}
	if len(ports) > 0 {
		unread := ""
		if given := values["probe-ports"]; given != "" {
			for _, s := range strings.Split(given, ",") {
				n, ok := portNumber(strings.TrimSpace(s))
				if !ok {
					unread = given + "," // is checked as it is written
					continue
				}
				ports = append(ports, n)
			}
		}
		values["probe-ports"] = unread + portList(ports)
	}
	p.variables = map[string]string{}
	var environ []string
	for _, name := range slices.Sorted(maps.Keys(values)) { // in order, so that of several errors the same comes first each time
		p.variables[variable(name)] = values[name]
		environ = append(environ, variable(name)+"="+values[name])
	}
	var err error
	if p.ports, err = j.opts.CheckSettings(environ); err != nil {
		return j.refused(t, w, "config-", err)
	}
	if len(probes) > 0 && p.ports.Metrics == 0 {
		return j.doc.at(probes[0].in.Values[probes[0].i].Key, "--metrics %q: a tcpSocket probe needs it where the kubelet can ask: "+
			"want an address of the Pod's and a port, such as :14958", values["metrics"])
	}
	if p.ports.Transparent == 0 {
		p.netInit = false
		return nil
	}
	if _, given := values["heartbeat"]; !given {
		p.variables[variable("heartbeat")] = "true" // so that a fail-open redirect works, whoever asks for it
	}
	p.rules = maps.Clone(w.rules)
	p.rules["redirect-port"] = strconv.Itoa(p.ports.Transparent)
	if _, given := p.rules["sidecar-ports"]; !given {
		var own []int
		for _, port := range []int{p.ports.Admin, p.ports.Metrics} {
			if port != 0 {
				own = append(own, port)
			}
		}
		if len(own) > 0 {
			p.rules["sidecar-ports"] = portList(own)
		}
	}
	if err := j.opts.CheckRules(p.rules); err != nil {
		return j.refused(t, w, "", err)
	}
	return nil
}

// resources returns the setting --resource: what the user said, then the Pod, its namespace, its node and its workload.
func resources(t template, given string) string {
	var all []string
	if given != "" {
		all = append(all, given)
	}
	for _, v := range podVariables() {
		all = append(all, v.attribute+"=$("+v.variable+")")
	}
	switch t.kind {
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob":
		if t.name != "" {
			all = append(all, "k8s."+strings.ToLower(t.kind)+".name="+t.name)
		}
	}
	return strings.Join(all, ",")
}

// refused gives the error about a setting the place of the annotation that it came from, if one did. An error that names several settings
// gets the place of the first of them in alphabetical order.
func (j *job) refused(t template, w *wishes, kind string, err error) error {
	message := err.Error()
	var at ast.Node = t.owner
	for _, name := range slices.Sorted(maps.Keys(w.where)) {
		setting := strings.TrimPrefix(name, "config-")
		mentions := strings.Contains(message, "--"+setting+" ") || strings.Contains(message, variable(setting)+" ")
		if mentions && strings.HasPrefix(name, kind) {
			at = w.where[name]
			message = fmt.Sprintf("annotation %s%s: %s", prefix, name, message)
			break
		}
	}
	return j.doc.at(at, "%s", message)
}
