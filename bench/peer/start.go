package peer

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"github.com/spanwire/spanwire/bench/proc"
)

//go:embed configs
var configs embed.FS

// connectionsMax bounds what HAProxy and nginx are told to provide for: two descriptors each, within the usual limit of 20 000.
const connectionsMax = 9000

// view is what a template sees.
type view struct {
	Wiring
	Variant string
	Batch   int    // spans in a batch; 0 = none are sent
	Module  string // nginx's stream module
}

// Config returns the peer's configuration for a wiring, and its file name; both empty when it has none.
func (p Peer) Config(w Wiring) (name string, content []byte, err error) {
	if p.config == "" {
		return "", nil, nil
	}
	content, err = render(p.config, view{Wiring: w, Variant: p.variant, Batch: p.batch, Module: StreamModule()})
	return p.config, content, err
}

// render executes a template of configs.
func render(name string, v any) ([]byte, error) {
	t, err := template.New(name).Option("missingkey=error").ParseFS(configs, "configs/"+name)
	if err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// Start writes the peer's configuration into w.Dir and starts it on the given processors. It does not wait until it is ready. Not
// for a peer without a tool.
func (p Peer) Start(g *proc.Group, tools Tools, w Wiring, cpus []int) (*proc.Process, error) {
	path, err := tools.Find(p.Tool)
	if err != nil {
		return nil, err
	}
	if w.Connections == 0 {
		w.Connections = connectionsMax
	}
	if w.Dir, err = filepath.Abs(w.Dir); err != nil {
		return nil, fmt.Errorf("start %s: %w", w.Name, err)
	}
	if err := os.MkdirAll(w.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("start %s: %w", w.Name, err)
	}
	name, content, err := p.Config(w)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", w.Name, err)
	}
	file := filepath.Join(w.Dir, name)
	if name != "" {
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return nil, fmt.Errorf("start %s: %w", w.Name, err)
		}
	}
	args := p.args(w, file)
	if err := os.WriteFile(filepath.Join(w.Dir, commandFile), commandLine(p.Tool, args), 0o644); err != nil {
		return nil, fmt.Errorf("start %s: %w", w.Name, err)
	}
	return g.Start(proc.Spec{Name: w.Name, Path: path, Args: args, CPUs: cpus})
}

// commandFile is the name of the file beside a configuration that holds the command line: of the sidecar it is all of the configuration.
const commandFile = "command"

// commandLine writes a command for people, an argument with blanks in quotes.
func commandLine(tool Tool, args []string) []byte {
	b := []byte(tool)
	for _, arg := range args {
		b = append(b, ' ')
		if arg == "" || strings.ContainsAny(arg, " \t\n'\"\\$*?;&|<>(){}") {
			b = strconv.AppendQuote(b, arg)
		} else {
			b = append(b, arg...)
		}
	}
	return append(b, '\n')
}
