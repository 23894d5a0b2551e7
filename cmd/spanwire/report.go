package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spanwire/spanwire/exporters"
	"github.com/spanwire/spanwire/settings"
)

// logStart writes the line that says what was chosen and from where.
func (s *sidecar) logStart(loaded *settings.Loaded) {
	b := build()
	args := []any{"version", b.Version, "service", s.cfg.ServiceName, "loops", s.cfg.Loops}
	names := []string{"transparent", "inbound", "outbound"}
	for _, name := range names {
		var bound []string
		for _, l := range s.engine.Listeners() {
			switch {
			case l.Name != name:
			case l.Upstream == "":
				bound = append(bound, l.Addr)
			default:
				bound = append(bound, l.Addr+" -> "+l.Upstream)
			}
		}
		if len(bound) > 0 {
			args = append(args, name, strings.Join(bound, ", "))
		}
	}
	admin, metrics := s.admin.Addrs()
	args = append(args, "admin", orOff(admin), "metrics", orOff(metrics))
	if s.cfg.Disabled {
		args = append(args, "tracing", "disabled ("+find(loaded.Entries, "disabled").Origin+")")
	} else {
		args = append(args, "exporters", s.export.endpoints()+origin(loaded.Entries, "exporter"),
			"sampler", s.cfg.Sampler.String()+origin(loaded.Entries, "sampler"),
			"propagators", strings.Join(s.cfg.Propagators, ",")+origin(loaded.Entries, "propagators"))
	}
	if s.cfg.Netramesh {
		args = append(args, "compat", "netramesh"+origin(loaded.Entries, "compat"))
	}
	s.log.Info("spanwire started", args...)
}

func orOff(addr string) string {
	if addr == "" {
		return "off"
	}
	return addr
}

// origin returns " (where the setting came from)".
func origin(entries []settings.Entry, name string) string {
	return " (" + find(entries, name).Origin + ")"
}

func find(entries []settings.Entry, name string) settings.Entry {
	i := slices.IndexFunc(entries, func(e settings.Entry) bool { return e.Name == name })
	if i < 0 {
		panic("BUG: no setting is called " + name)
	}
	return entries[i]
}

// logEnd writes the line that says what was done.
func (s *sidecar) logEnd() {
	st := s.engine.Stats()
	var requests uint64
	for _, side := range st.Requests {
		for _, n := range side {
			requests += n
		}
	}
	args := []any{"sessions", st.SessionsTotal[0] + st.SessionsTotal[1], "requests", requests}
	spans := s.export.stats()
	var exported, dropped []string
	for _, e := range spans.Exporters {
		exported = append(exported, fmt.Sprintf("%s %d", e.Name, e.Exported))
		for r, n := range e.Dropped {
			if n > 0 {
				dropped = append(dropped, fmt.Sprintf("%s %s %d", e.Name, exporters.Reason(r), n))
			}
		}
	}
	args = append(args, "recorded", spans.Recorded, "exported", orNone(exported), "dropped", orNone(dropped))
	if s.cfg.Verify {
		v := st.Verified[0]
		v.Add(&st.Verified[1])
		args = append(args, "verified_bytes", v.Verified, "altered_bytes", v.Altered, "undelivered_bytes", v.Undelivered)
	}
	s.log.Info("spanwire stopped", args...)
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "0"
	}
	return strings.Join(list, ", ")
}

// settingsJSON returns what GET /config answers with. It is made when asked for: hardly ever.
func settingsJSON(entries []settings.Entry) func() []byte {
	return func() []byte {
		data, err := json.MarshalIndent(struct {
			Settings []settings.Entry `json:"settings"`
		}{entries}, "", "  ")
		if err != nil {
			panic("BUG: settings do not marshal: " + err.Error())
		}
		return append(data, '\n')
	}
}
