package inject

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Annotations of ours begin with prefix; those of a Pod's template win over those of its workload.
const prefix = "spanwire.dev/"

// wishes is what is asked of one Pod: by the caller, overridden by annotations.
type wishes struct {
	skip    bool   // inject: "false"
	service string // service-name; "" = none was asked for
	legacy  bool
	netInit bool
	image   string
	// rules are flags of `spanwire intercept add`, settings are settings of `spanwire run`.
	rules, settings map[string]string
	// where is the node of each annotation, by name, for errors.
	where map[string]ast.Node
}

// wishesOf reads the annotations of a Pod and its workload over the options.
func (j *job) wishesOf(t template) (*wishes, error) {
	w := &wishes{legacy: j.opts.Legacy, netInit: !j.opts.NoNetInit, image: j.opts.Image, service: j.opts.ServiceName,
		rules: map[string]string{}, settings: map[string]string{}, where: map[string]ast.Node{}}
	for name, v := range j.opts.Rules {
		w.rules[name] = v
	}
	for name, v := range j.opts.Settings {
		w.settings[name] = v
	}
	owners := []*ast.MappingNode{t.owner}
	if t.pod != t.owner {
		owners = append(owners, t.pod)
	}
	for _, m := range owners {
		annotations, err := j.annotationsOf(m)
		if err != nil {
			return nil, err
		}
		for _, e := range annotations {
			name, ours := strings.CutPrefix(keyText(e.Key), prefix)
			if !ours {
				continue
			}
			value, ok, err := j.doc.scalar(e.Value)
			if err != nil {
				return nil, err
			}
			if !ok {
				return nil, j.doc.at(e.Value, "annotation %s%s: want a string", prefix, name)
			}
			if err := j.wish(w, name, value, e.Value); err != nil {
				return nil, err
			}
		}
	}
	return w, nil
}

// annotationsOf returns the annotations of an object.
func (j *job) annotationsOf(object *ast.MappingNode) ([]*ast.MappingValueNode, error) {
	metadata, err := j.doc.read(object, "metadata")
	if err != nil {
		return nil, err
	}
	value, err := j.doc.read(asMapping(metadata), "annotations")
	annotations := asMapping(value)
	if annotations == nil || err != nil {
		return nil, err
	}
	if e := mergeIn(annotations); e != nil {
		return nil, j.doc.at(e.Key, "a merge key within annotations: write them out")
	}
	return annotations.Values, j.doc.plainKeys(annotations)
}

// wish applies one annotation.
func (j *job) wish(w *wishes, name, value string, at ast.Node) error {
	w.where[name] = at
	flag := func(into *bool) error {
		switch value {
		case "true", "false":
			*into = value == "true"
			return nil
		}
		return j.doc.at(at, "annotation %s%s %q: want \"true\" or \"false\"", prefix, name, value)
	}
	setting, isSetting := strings.CutPrefix(name, "config-")
	switch {
	case name == "inject":
		inject := true
		err := flag(&inject)
		w.skip = !inject
		return err
	case name == "legacy":
		return flag(&w.legacy)
	case name == "net-init":
		return flag(&w.netInit)
	case name == "service-name":
		w.service = value
	case name == "image":
		w.image = value
	case isSetting && !settingName(setting):
		return j.doc.at(at, "annotation %s%s: want config- and the name of a setting in lower-case letters, digits and dashes", prefix, name)
	case isSetting && setting != "service-name":
		w.settings[setting] = value
	case slices.Contains(j.opts.RuleNames, name):
		w.rules[name] = value
	default:
		return j.doc.at(at, "annotation %s%s: want inject, service-name, image, legacy, net-init, config-<setting>, or one of %s",
			prefix, name, strings.Join(j.opts.RuleNames, ", "))
	}
	return nil
}

// settingName reports whether s can be the name of a setting. In these characters no two names become the same variable, so that one
// annotation cannot silently take the place of another, of a default, or of the service's name.
func settingName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	})
}
