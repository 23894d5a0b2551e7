package intercept

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// A value comes from the flag, else from our variable, else from Netramesh's, else it is the default.
func TestFlagBeatsVariableBeatsCompatible(t *testing.T) {
	environ := []string{"NETRA_SIDECAR_PORT=1111", "NETRA_SIDECAR_USER_ID=11", "SPANWIRE_INTERCEPT_UID=22", "INBOUND_INTERCEPT_PORTS=80,8000-8100",
		"NETRA_SIDECAR_GROUP_ID=", "NETRA_OUTBOUND_PROBABILITY=0.5"}
	c, warnings, err := Load(DefaultConfig(), map[string][]string{"redirect-port": {"2222", "3333"}, "exclude-uid": {"1,2", "3"}}, environ)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	want := DefaultConfig()
	want.RedirectPort, want.UID, want.OutboundParts = 3333, 22, Million/2
	want.InboundPorts = Ports{Ranges: []PortRange{{80, 80}, {8000, 8100}}}
	want.ExcludeUIDs = []uint32{1, 2, 3}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestBadValuesAreNamed(t *testing.T) {
	for name, values := range map[string][]string{
		"redirect-port": {"0", "65536", "x", "-1", "80,81"}, "uid": {"root", "4294967295", "-1"}, "gid": {"1.5"},
		"inbound-ports": {"0", "80-", "90-80", "80,,81", "http", "**"}, "exclude-cidr": {"10.0.0.0/33", "host", "::ffff:10.0.0.0/95", "fe80::1%eth0"},
		"include-cidr": {"10.0.0.0/8;11.0.0.0/8"}, "exclude-uid": {"1,"}, "inbound-probability": {"1.1", "-0.1", "NaN", "half"}, "fail-open": {"maybe"},
	} {
		for _, v := range values {
			_, _, err := Load(DefaultConfig(), map[string][]string{name: {v}}, nil)
			if err == nil || !strings.Contains(err.Error(), `--`+name+` "`+v+`": want `) {
				t.Errorf("--%s %q: %v", name, v, err)
			}
		}
	}
	_, _, err := Load(DefaultConfig(), nil, []string{"NETRA_SIDECAR_USER_ID=nobody"})
	if err == nil || !strings.Contains(err.Error(), `NETRA_SIDECAR_USER_ID "nobody": want a number`) {
		t.Error(err)
	}
}

// Kubernetes makes such a variable for a Service called netra-sidecar.
func TestServiceLinkIsSkipped(t *testing.T) {
	c, warnings, err := Load(DefaultConfig(), nil, []string{"NETRA_SIDECAR_PORT=tcp://10.0.0.1:80"})
	if err != nil || c.RedirectPort != 14956 || len(warnings) != 1 || !strings.Contains(warnings[0], "NETRA_SIDECAR_PORT") {
		t.Error(c.RedirectPort, warnings, err)
	}
}

func TestNetworksAreCleaned(t *testing.T) {
	c, _, err := Load(DefaultConfig(), map[string][]string{"exclude-cidr": {"10.1.2.3/8,::ffff:192.0.2.0/120,2001:db8::1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"10.0.0.0/8", "192.0.2.0/24", "2001:db8::1/128"}
	for i, p := range c.ExcludeCIDRs {
		if p.String() != want[i] {
			t.Errorf("%v, want %v", p, want[i])
		}
	}
}

// The settings can be read back from the comments on the rules, however long they are, and each comment is one that nft shows.
func TestSettingsSurviveInTheNotes(t *testing.T) {
	var many []string
	for i := range 60 {
		many = append(many, "10.0."+formatID(uint32(i))+".0/24")
	}
	for _, flags := range []map[string][]string{
		{},
		{"fail-open": {"true"}, "inbound-ports": {"none"}, "outbound-probability": {"0.000001"}, "uid": {"0"}, "sidecar-ports": {"1,2"}},
		{"exclude-cidr": {strings.Join(many, ",")}, "include-cidr": {"::/0"}, "outbound-ports": {"1-65535"}, "exclude-inbound-ports": {"*"}},
	} {
		c, _, err := Load(DefaultConfig(), flags, nil)
		if err != nil {
			t.Fatal(err)
		}
		var notes []string
		for _, r := range c.keptRules() {
			if len(r.note) > 128 {
				t.Errorf("a note of %d bytes", len(r.note))
			}
			notes = append(notes, r.note)
		}
		got, err := fromNotes(notes)
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%v\ngot  %+v\nwant %+v", err, got, c)
		}
	}
}

func TestOverlappingRangesAreOne(t *testing.T) {
	p, err := parsePorts("8000-8100, 80,8050-8200,81,9000")
	if want := []PortRange{{80, 81}, {8000, 8200}, {9000, 9000}}; err != nil || !slices.Equal(p.Ranges, want) {
		t.Errorf("%v, %v", p, err)
	}
}
