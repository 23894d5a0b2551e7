package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/spanwire/spanwire/core"
	"github.com/spanwire/spanwire/intercept"
	"github.com/spanwire/spanwire/settings"
)

// errFound: check found something, which it has said.
var errFound = errors.New("the interception is not as it should be")

// interceptCommand is `spanwire intercept` with its four commands.
func interceptCommand(environ []string, stdout, stderr io.Writer) *cli.Command {
	k := interception{environ, stdout, stderr}
	rules := ruleFlags()
	subcommand := func(name, usage string, flags []cli.Flag, help string, do func(*cli.Context) error) *cli.Command {
		return &cli.Command{Name: name, Usage: usage, Flags: flags, OnUsageError: onUsageError, HideHelpCommand: true,
			CustomHelpTemplate: literal("Usage: spanwire intercept " + name + " [flags]\n\n" + help),
			Action: func(c *cli.Context) error {
				if c.Args().Present() {
					return usageError{fmt.Errorf("%q is no argument here: want flags", c.Args().First())}
				}
				return do(c)
			}}
	}
	dryRun := &cli.BoolFlag{Name: "dry-run"}
	return &cli.Command{
		Name:               "intercept",
		Usage:              "redirect rules: add, remove, show, check",
		CustomHelpTemplate: literal(interceptHelp),
		Action: func(c *cli.Context) error {
			return usageError{fmt.Errorf("intercept %q: want add, remove, show or check", c.Args().First())}
		},
		Subcommands: []*cli.Command{
			subcommand("add", "redirect connections to the sidecar", append(slices.Clone(rules), backendFlag(), dryRun),
				addHelp()+ruleHelp(), k.add),
			subcommand("remove", "stop redirecting", []cli.Flag{backendFlag(), &cli.BoolFlag{Name: "wait"}, &cli.DurationFlag{Name: "timeout"},
				&cli.BoolFlag{Name: "now"}}, removeHelp, k.remove),
			subcommand("show", "say what is installed", []cli.Flag{backendFlag()}, showHelp, k.show),
			subcommand("check", "say what is wrong, and what to do", append(slices.Clone(rules), backendFlag()), checkHelp+ruleHelp(), k.check),
		},
	}
}

const interceptHelp = `Usage: spanwire intercept add|remove|show|check [flags]

  add     redirect connections to the sidecar; run again, it replaces the rules that are there
  remove  stop redirecting; connections that were redirected live on
  show    say what is installed
  check   say what is wrong, and what to do; exit 1 when something is

All need the capability NET_ADMIN. spanwire intercept COMMAND --help lists the flags.
`

func addHelp() string {
	return `Redirects TCP connections, over IPv4 and IPv6, to the sidecar. Run again, it replaces the rules that are there. Established connections go on
untouched. Never redirected: the sidecar's own connections, those to loopback addresses, those to the sidecar's own listeners.

  --dry-run
        print the rules and change nothing
` + backendHelp
}

const backendHelp = `  --backend auto|nft|iptables
        nftables over netlink, or the tools iptables and ip6tables; auto: nftables where the kernel has what the rules need
        (variable: SPANWIRE_INTERCEPT_BACKEND; default: auto)
`

const removeHelp = `Stops redirecting new connections at once. Those that were redirected live on; what they need of the rules stays until a remove finds that the
last has ended.

  --wait
        return when the last redirected connection has ended
  --timeout DURATION
        with --wait: how long to wait, then exit 1 (default: for ever)
  --now
        delete everything, and say how many connections that resets
` + backendHelp

const showHelp = "Prints what is installed, and the rules.\n\n" + backendHelp

const checkHelp = `Looks whether rules are there as they were installed, whether a sidecar listens where they lead, whether IPv6 is covered, whether heartbeats
come, and what the kernel lacks. Each finding is one line with what to do. Exit 1 when there is one.

` + backendHelp

// ruleHelp lists the settings of the rules.
func ruleHelp() string {
	var b strings.Builder
	for _, o := range intercept.Options() {
		fmt.Fprintf(&b, "  --%s\n        %s\n        (variables: %s", strings.TrimSpace(o.Name+" "+o.Value), o.Help,
			strings.Join(append([]string{o.Variable()}, o.Compatible...), ", "))
		if d := o.Default(); d != "" {
			fmt.Fprintf(&b, "; default: %s", d)
		}
		b.WriteString(")\n")
	}
	return b.String()
}

// ruleFlags are the flags of the settings. They are texts, so that a value that does not parse is told in our words.
func ruleFlags() []cli.Flag {
	var flags []cli.Flag
	for _, o := range intercept.Options() {
		if o.Value == "" {
			flags = append(flags, &cli.BoolFlag{Name: o.Name})
		} else {
			flags = append(flags, &cli.StringSliceFlag{Name: o.Name})
		}
	}
	return flags
}

func backendFlag() cli.Flag { return &cli.StringFlag{Name: "backend"} }

// interception is what the commands are run with.
type interception struct {
	environ        []string
	stdout, stderr io.Writer
}

// config collects the settings of the rules.
func (k *interception) config(c *cli.Context) (intercept.Config, error) {
	base := intercept.DefaultConfig()
	own, err := settings.OwnPorts(k.environ)
	if err != nil {
		return base, usageError{err}
	}
	base.OwnPorts = intercept.PortList(own...)
	flags := map[string][]string{}
	for _, o := range intercept.Options() {
		switch {
		case !c.IsSet(o.Name):
		case o.Value == "":
			flags[o.Name] = []string{fmt.Sprint(c.Bool(o.Name))}
		default:
			flags[o.Name] = c.StringSlice(o.Name)
		}
	}
	config, warnings, err := intercept.Load(base, flags, k.environ)
	for _, w := range warnings {
		fmt.Fprintln(k.stderr, "spanwire:", w)
	}
	if err != nil {
		return config, usageError{err}
	}
	return config, nil
}

// backend reads --backend, or its variable.
func (k *interception) backend(c *cli.Context) (intercept.Backend, error) {
	const variable = "SPANWIRE_INTERCEPT_BACKEND"
	value, origin := c.String("backend"), "--backend"
	if !c.IsSet("backend") {
		origin = variable
		for _, kv := range k.environ {
			if name, v, _ := strings.Cut(kv, "="); name == variable {
				value = strings.TrimSpace(v)
			}
		}
		if value == "" {
			return intercept.Auto, nil
		}
	}
	switch b := intercept.Backend(value); b {
	case intercept.Auto, intercept.NFT, intercept.IPTables:
		return b, nil
	}
	return "", usageError{fmt.Errorf("%s %q: want auto, nft or iptables", origin, value)}
}

// add is `spanwire intercept add`.
func (k *interception) add(c *cli.Context) error {
	backend, err := k.backend(c)
	if err != nil {
		return err
	}
	config, err := k.config(c)
	if err != nil {
		return err
	}
	if c.Bool("dry-run") {
		fmt.Fprint(k.stdout, intercept.DryRun(config, backend))
		return nil
	}
	if err := intercept.CheckLoop(config); err != nil {
		return fmt.Errorf("intercept add: %w", err)
	}
	used, err := intercept.Add(config, backend)
	if err != nil {
		return fmt.Errorf("intercept add: %w", err)
	}
	fmt.Fprintf(k.stdout, "redirecting to port %d (%s): inbound %s, outbound %s\n", config.RedirectPort, used, config.InboundPorts, config.OutboundPorts)
	return nil
}

// spared refuses to start a sidecar as root behind rules that spare another user.
func spared(listeners []core.Bound) error {
	if os.Geteuid() != 0 {
		return nil // it may not see them
	}
	for _, l := range listeners {
		if l.Name != "transparent" {
			continue
		}
		if at, err := netip.ParseAddrPort(l.Addr); err == nil {
			if err := intercept.CheckOwn(at.Port(), uint32(os.Geteuid()), uint32(os.Getegid())); err != nil {
				return fmt.Errorf("start: %w", err)
			}
		}
	}
	return nil
}

// remove is `spanwire intercept remove`.
func (k *interception) remove(c *cli.Context) error {
	backend, err := k.backend(c)
	if err != nil {
		return err
	}
	wait, now, timeout := c.Bool("wait"), c.Bool("now"), c.Duration("timeout")
	switch {
	case wait && now:
		return usageError{errors.New("--wait and --now: want one of them")}
	case c.IsSet("timeout") && (!wait || timeout <= 0):
		return usageError{fmt.Errorf("--timeout %q: want a duration such as 30s, beside --wait", timeout)}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	began := time.Now()
	r, err := intercept.Remove(ctx, backend, wait, now)
	switch {
	case err != nil:
		return fmt.Errorf("intercept remove: %w", err)
	case r.Nothing:
		fmt.Fprintln(k.stdout, "no rules are installed")
	case now:
		fmt.Fprintf(k.stdout, "removed; %d connections are reset\n", r.Reset)
		if r.Left > 0 {
			fmt.Fprintf(k.stdout, "%d more are cut off without a reset, which this kernel cannot send (CONFIG_INET_DIAG_DESTROY)\n", r.Left)
		}
	case r.Open > 0 && wait:
		return fmt.Errorf("intercept remove: %d redirected connections live on after %s", r.Open, time.Since(began).Round(time.Second))
	case r.Open > 0:
		fmt.Fprintf(k.stdout, "no longer redirecting; %d redirected connections live on, and empty chains stay for them: remove again, or with "+
			"--wait or --now, to delete these\n", r.Open)
	default:
		fmt.Fprintln(k.stdout, "removed")
	}
	return nil
}

// show is `spanwire intercept show`.
func (k *interception) show(c *cli.Context) error {
	backend, err := k.backend(c)
	if err != nil {
		return err
	}
	in, err := intercept.Find(backend)
	switch {
	case err != nil:
		return fmt.Errorf("intercept show: %w", err)
	case in == nil:
		fmt.Fprintln(k.stdout, "no rules are installed")
		return nil
	}
	state := "redirecting"
	if !in.Active {
		state = "removed"
	}
	fmt.Fprintf(k.stdout, "# %s by %s; %d redirected connections\n# spanwire intercept add %s\n", state, in.Backend,
		intercept.Sessions(in.Config.RedirectPort), strings.Join(in.Config.Args(), " "))
	for _, p := range in.Problems {
		fmt.Fprintf(k.stdout, "# not as it was installed: %s\n", p.What)
	}
	if in.Active {
		fmt.Fprint(k.stdout, intercept.DryRun(in.Config, in.Backend))
	}
	return nil
}

// check is `spanwire intercept check`.
func (k *interception) check(c *cli.Context) error {
	backend, err := k.backend(c)
	if err != nil {
		return err
	}
	config, err := k.config(c)
	if err != nil {
		return err
	}
	found, err := intercept.Check(config, backend)
	if err != nil {
		return fmt.Errorf("intercept check: %w", err)
	}
	for _, f := range found {
		fmt.Fprintln(k.stdout, f)
	}
	if len(found) > 0 {
		return errFound
	}
	fmt.Fprintln(k.stdout, "all is well")
	return nil
}
