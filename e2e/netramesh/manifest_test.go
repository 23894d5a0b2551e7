package netramesh

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	program "github.com/spanwire/spanwire/internal/sidecar"
)

// container is one of a manifest's, as far as the move from Netramesh touches it.
type container struct {
	Name, Image   string
	Command, Args []string
	Env           []struct {
		Name, Value string
		ValueFrom   struct {
			FieldRef struct {
				FieldPath string `yaml:"fieldPath"`
			} `yaml:"fieldRef"`
		} `yaml:"valueFrom"`
	}
	SecurityContext struct {
		Privileged   bool
		RunAsUser    *int `yaml:"runAsUser"`
		Capabilities struct{ Add, Drop []string }
	} `yaml:"securityContext"`
}

// published reads one of the two manifests: the init container, and the sidecar behind the application.
func published(t *testing.T, name string) (rules, sidecar container) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Spec struct {
			Template struct {
				Spec struct {
					InitContainers []container `yaml:"initContainers"`
					Containers     []container
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &m); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	spec := m.Spec.Template.Spec
	if len(spec.InitContainers) != 1 || len(spec.Containers) != 2 {
		t.Fatalf("%s: %d and %d containers", name, len(spec.InitContainers), len(spec.Containers))
	}
	return spec.InitContainers[0], spec.Containers[1]
}

// environment is what a kubelet gives the container; fields of the Pod have their path for a value.
func (c *container) environment() (all []string) {
	for _, v := range c.Env {
		all = append(all, v.Name+"="+v.Value+v.ValueFrom.FieldRef.FieldPath)
	}
	return all
}

var reference = regexp.MustCompile(`\$\(([A-Za-z_]+)\)`)

// arguments are what a kubelet makes of args: $(NAME) is the variable; one that is not there stays as it is.
func (c *container) arguments() (all []string) {
	env := c.environment()
	for _, arg := range c.Args {
		all = append(all, reference.ReplaceAllStringFunc(arg, func(r string) string {
			for _, v := range env {
				if value, is := strings.CutPrefix(v, r[2:len(r)-1]+"="); is {
					return value
				}
			}
			return r
		}))
	}
	return all
}

// Netramesh's published manifest with our image: what the guide changes in it starts, and its settings are all kept.
func TestPublishedManifestChangesOver(t *testing.T) {
	oldRules, oldSidecar := published(t, "nginx-before.yaml")
	rules, sidecar := published(t, "nginx-after.yaml")
	for _, c := range []struct{ before, after container }{{oldRules, rules}, {oldSidecar, sidecar}} {
		if c.after.Name != c.before.Name || !strings.Contains(c.after.Image, "spanwire") {
			t.Errorf("%s with image %s in the place of %s", c.after.Name, c.after.Image, c.before.Name)
		}
		if !slices.Equal(c.before.environment(), c.after.environment()) {
			t.Errorf("%s: the variables are %q, were %q", c.after.Name, c.after.environment(), c.before.environment())
		}
		if len(c.after.Command) != 0 { // the image has no shell, and no program called netramesh
			t.Errorf("%s: command %q", c.after.Name, c.after.Command)
		}
		if s := c.after.SecurityContext; s.Privileged || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
			t.Errorf("%s: %+v", c.after.Name, s)
		}
	}
	if s := rules.SecurityContext; s.RunAsUser == nil || *s.RunAsUser != 0 || !slices.Equal(s.Capabilities.Add, []string{"NET_ADMIN"}) {
		t.Errorf("%s is not root with NET_ADMIN: %+v", rules.Name, s)
	}
	if s := sidecar.SecurityContext; s.RunAsUser == nil || *s.RunAsUser != sidecarUser || len(s.Capabilities.Add) != 0 {
		t.Errorf("%s is not user %d: %+v", sidecar.Name, sidecarUser, s)
	}
	t.Run("rules", func(t *testing.T) {
		args := rules.arguments()
		out, err := command(rules.environment(), append(args, "--dry-run")...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "14956") || !strings.Contains(string(out), "1337") {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	})
	t.Run("sidecar", func(t *testing.T) {
		// Ports of its own: the defaults may be taken on this machine.
		env := append(sidecar.environment(), "SPANWIRE_LISTEN=127.0.0.1:0", "SPANWIRE_ADMIN=127.0.0.1:0", "SPANWIRE_METRICS=127.0.0.1:0")
		s := start(t, command(env, sidecar.arguments()...))
		s.logged(`service=metadata.namespace.nginx`, `sampler="always (JAEGER_SAMPLER_TYPE)"`, "udp://jaeger-agent:6831",
			`compat="netramesh (implied by NETRA_HTTP_PORTS)"`)
	})
	t.Run("unchanged", func(t *testing.T) {
		// Why the guide has these steps: as it was, neither container does its work.
		cmd := command(oldRules.environment())
		var log program.Buffer
		cmd.Stderr = &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		if err := cmd.Wait(); err == nil || !strings.Contains(log.String(), "--service-name") {
			t.Errorf("without arguments: %v\n%s", err, log.String())
		}
		if len(oldSidecar.Command) == 0 || oldSidecar.Command[0] != "sh" || !strings.Contains(oldSidecar.Command[2], "netramesh ") {
			t.Errorf("its command was %q", oldSidecar.Command)
		}
	})
	page, err := os.ReadFile("../../docs/netramesh.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"nginx-before.yaml", "nginx-after.yaml", "`args: [intercept, add]`", "`args: [--service-name, $(POD_NAMESPACE).nginx]`"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the guide lacks %s", want)
		}
	}
}
