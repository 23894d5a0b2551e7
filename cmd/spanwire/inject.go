package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/spanwire/spanwire/inject"
	"github.com/spanwire/spanwire/intercept"
	"github.com/spanwire/spanwire/settings"
)

// imageName is the image that is injected where --image names none; its tag is the version of this program.
const imageName = "ghcr.io/spanwire/spanwire"

// maxManifest bounds what is read; inject itself refuses less.
const maxManifest = 64 << 20

const injectHelp = `Usage: spanwire inject [-f FILE] [flags]

Puts the sidecar into the Pods of Kubernetes manifests: Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob, Pod, List, several
documents in one stream. The result goes to standard output, a line for each Pod to standard error. All that is not the sidecar's stays byte
for byte; what is stands between marks, and uninject takes it out. Twice is once: injecting again does it anew with the settings given then.

  -f FILE
        the manifests; - is standard input (default: -)
  --image IMAGE
        image of the sidecar (default: ` + imageName + `:<this version>)
  --service-name NAME
        name on the spans (default: the name of the workload)
  --set NAME=VALUE
        a setting of ` + "`spanwire run`" + `, or a flag of ` + "`spanwire intercept add`" + `; repeatable
  --legacy
        for clusters before 1.29: an ordinary container with start and stop hooks in place of a native sidecar
  --no-net-init
        without the init container that installs redirect rules (it needs NET_ADMIN): for explicit listeners, or rules made by the node

Annotations of a Pod's template, or of its workload, override: spanwire.dev/inject "false" leaves it alone; spanwire.dev/service-name,
/image, /legacy, /net-init ("true" or "false"), /config-<setting of run>, /<flag of intercept add>.
`

const uninjectHelp = `Usage: spanwire uninject [-f FILE]

Takes out what inject put in: the original manifests, byte for byte, go to standard output.

  -f FILE
        the manifests; - is standard input (default: -)
`

func fileFlag() cli.Flag {
	return &cli.StringFlag{Name: "filename", Aliases: []string{"f"}, Value: "-"}
}

func injectCommand(stdin io.Reader, stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "inject",
		Usage: "put the sidecar into Kubernetes manifests",
		Flags: []cli.Flag{fileFlag(), &cli.StringFlag{Name: "image"}, &cli.StringFlag{Name: "service-name"},
			&cli.GenericFlag{Name: "set", Value: &repeated{}}, &cli.BoolFlag{Name: "legacy"}, &cli.BoolFlag{Name: "no-net-init"}},
		CustomHelpTemplate: literal(injectHelp),
		Action: func(c *cli.Context) error {
			opts, err := injectOptions(c)
			if err != nil {
				return usageError{err}
			}
			in, err := manifest(c, stdin)
			if err != nil {
				return err
			}
			result, err := inject.Inject(in, opts)
			if err != nil {
				return fmt.Errorf("%s: %w", c.String("filename"), err)
			}
			for _, note := range result.Notes {
				fmt.Fprintf(stderr, "spanwire: %s\n", oneLine(note))
			}
			return writeAll(stdout, result.Text)
		},
	}
}

func uninjectCommand(stdin io.Reader, stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:               "uninject",
		Usage:              "take the sidecar out of Kubernetes manifests",
		Flags:              []cli.Flag{fileFlag()},
		CustomHelpTemplate: literal(uninjectHelp),
		Action: func(c *cli.Context) error {
			in, err := manifest(c, stdin)
			if err != nil {
				return err
			}
			out, found, err := inject.Uninject(in)
			if err != nil {
				return fmt.Errorf("%s: %w", c.String("filename"), err)
			}
			if !found {
				fmt.Fprintln(stderr, "spanwire: nothing to take out: no marks of inject in this stream")
			}
			return writeAll(stdout, out)
		},
	}
}

func writeAll(w io.Writer, b []byte) error {
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("write the manifests: %w", err)
	}
	return nil
}

// manifest reads what --filename names.
func manifest(c *cli.Context, stdin io.Reader) ([]byte, error) {
	if err := noArguments(c); err != nil {
		return nil, err
	}
	name := c.String("filename")
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, usageError{fmt.Errorf("-f %q: want a readable file, or - for standard input: %w", name, errors.Unwrap(err))}
		}
		defer f.Close()
		stdin = f
	}
	in, err := io.ReadAll(io.LimitReader(stdin, maxManifest))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(bytes.TrimSpace(in)) == 0 && name == "-" {
		return nil, usageError{errors.New("-f -: standard input is empty: want Kubernetes manifests")}
	}
	return in, nil
}

// repeated collects the occurrences of a flag whose values bear commas.
type repeated struct{ values []string }

// Set implements cli.Generic.
func (r *repeated) Set(s string) error {
	r.values = append(r.values, s)
	return nil
}

// String implements cli.Generic.
func (r *repeated) String() string { return "" }

// release is what a tag of an image may be made of.
var release = regexp.MustCompile(`^v?[0-9]+\.[0-9]+\.[0-9]+$`)

// injectOptions are the options that the command line asks for.
func injectOptions(c *cli.Context) (inject.Options, error) {
	opts := inject.Options{
		Image: c.String("image"), ServiceName: c.String("service-name"), Legacy: c.Bool("legacy"), NoNetInit: c.Bool("no-net-init"),
		Rules: map[string]string{}, Settings: map[string]string{}, RuleNames: ruleNames(),
		CheckRules: checkRules, CheckSettings: checkSettings,
	}
	if opts.Image == "" {
		opts.Image = imageName + ":latest"
		if release.MatchString(version) {
			opts.Image = imageName + ":" + version
		}
	}
	names := settingNames()
	for _, set := range c.Generic("set").(*repeated).values {
		name, value, ok := strings.Cut(set, "=")
		switch {
		case ok && name == "service-name":
			opts.ServiceName = value
		case ok && slices.Contains(opts.RuleNames, name):
			opts.Rules[name] = value
		case ok && slices.Contains(names, name):
			opts.Settings[name] = value
		default:
			return opts, fmt.Errorf("--set %q: want NAME=VALUE with a setting of run (%s) or a flag of intercept add (%s)",
				set, strings.Join(names, ", "), strings.Join(opts.RuleNames, ", "))
		}
	}
	return opts, nil
}

func settingNames() []string {
	var names []string
	for _, s := range settings.Table() {
		names = append(names, s.Name)
	}
	return names
}

// fixedRules are flags of intercept add that inject gives itself.
const fixedRules = " redirect-port uid gid "

// ruleNames are the flags of intercept add that may be set.
func ruleNames() []string {
	var names []string
	for _, o := range intercept.Options() {
		if !strings.Contains(fixedRules, " "+o.Name+" ") {
			names = append(names, o.Name)
		}
	}
	return names
}

// checkRules refuses what intercept add would refuse.
func checkRules(flags map[string]string) error {
	given := map[string][]string{}
	for name, v := range flags {
		given[name] = []string{v}
	}
	_, _, err := intercept.Load(intercept.DefaultConfig(), given, nil)
	return err
}

// checkSettings refuses what run would refuse, and names that it would only warn about: in a manifest they are misspelt.
func checkSettings(environ []string) (inject.Ports, error) {
	known := map[string]bool{}
	for _, s := range settings.Table() {
		known[s.Variable()] = true
	}
	for _, kv := range environ {
		if name, value, _ := strings.Cut(kv, "="); !known[name] {
			flag := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, "SPANWIRE_"), "_", "-"))
			return inject.Ports{}, fmt.Errorf("--%s %q: there is no such setting; want one of %s", flag, value, strings.Join(settingNames(), ", "))
		}
	}
	loaded, err := settings.Load(settings.NewFlags(), environ)
	if err != nil {
		return inject.Ports{}, err
	}
	c := &loaded.Config
	ports := inject.Ports{Transparent: portOf(c.Listen), Admin: portOf(c.Admin), Metrics: reachable(c.Metrics), Explicit: map[int]int{}}
	for _, l := range c.Explicit {
		ports.Explicit[portOf(l.Addr)] = 0
		if !l.Outbound {
			ports.Explicit[portOf(l.Addr)] = portOf(l.Upstream)
		}
	}
	return ports, nil
}

// reachable is portOf for a listener that the kubelet asks at the Pod's address: 0 also for one at a loopback address.
func reachable(addr string) int {
	host, _, _ := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return 0
	}
	return portOf(addr)
}

// portOf returns the port of a listener's address, 0 for none.
func portOf(addr string) int {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(port)
	return n
}
