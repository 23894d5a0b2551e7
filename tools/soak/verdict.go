package main

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// verdict is one thing that the run was to show.
type verdict struct {
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	Said   string `json:"said"` // what was found, and what is allowed
}

// What is allowed. A growth is judged by the upper end of the 95 % interval of its trend, so that flatness must be shown: noise
// fails a run, it never passes one.
const (
	// rssGrowth bounds the growth of memory over the time that is judged, in MiB: a heap of some MiB that is collected at a quarter of
	// growth, buffers, and pages of the program itself come and go by that much. Over 50 minutes at 400 requests a second it is 1.7
	// bytes a request.
	rssGrowth = 2.0
	// rssGrowthEarly holds where less than a quarter of an hour is judged: first uses of code, buffers and tables (request ids, names
	// of operations) go on for minutes, 2 MiB were seen from the 30th to the 120th second. It is 700 bytes for each connection that
	// is opened in 90 seconds, which is less than a session.
	rssGrowthEarly = 6.0
	// descriptorGrowth bounds theirs, beside the mean that the traffic keeps open, which varies by a tenth. One that leaks in a hundred
	// connections shows within minutes.
	descriptorGrowth, descriptorGrowthEarly = 0.1, 0.25
	// threadGrowth: the runtime starts one when a system call blocks while another is wanted, and keeps it.
	threadGrowth = 2.0
	// goroutineGrowth: exporters keep one for each connection that they have at the time.
	goroutineGrowth, goroutineGrowthEarly = 2.0, 6.0
	// early is how much must be judged for the tighter bounds.
	early = 15 * time.Minute
	// idleDescriptors more than before the traffic may be open after it: the connections of two exporters, and what a timer or a
	// file of the runtime needs.
	idleDescriptors = 8
	idleGoroutines  = 12
	// enough is the share of the wanted requests that must have been sent, lest a run without load pass.
	enough = 0.8
	// minBlocks is the fewest points for which there is a 95 % interval at all.
	minBlocks = 6
)

// warmUp is how much of a run is not judged: everything has then happened at least once, the longest absence of a collector included.
func warmUp(length time.Duration) time.Duration { return min(length/4, 10*time.Minute) }

// cycleOf is the length of the collectors' turns: short enough that a short run sees some, two minutes at most.
func cycleOf(length time.Duration) time.Duration {
	return max(min(length/8, 2*time.Minute), 10*time.Second)
}

// blockOf is the width of the stretches whose medians a trend is made of: 20 to 25 of them where the time is enough.
func blockOf(window time.Duration) time.Duration {
	return max(window/24, 3*time.Second).Truncate(time.Second)
}

// judgement collects verdicts.
type judgement struct{ verdicts []verdict }

func (j *judgement) say(name string, passed bool, format string, args ...any) {
	j.verdicts = append(j.verdicts, verdict{Name: name, Passed: passed, Said: fmt.Sprintf(format, args...)})
}

// flat judges the trend of one measure over the samples after the warm-up: it must grow by less than bound.
func (j *judgement) flat(name, unit string, samples []sample, value func(*sample) float64, bound float64) {
	j.trend(name, unit, samples, value, bound, "medians", median)
}

// trend is flat with what is taken of each stretch, and its name.
func (j *judgement) trend(name, unit string, samples []sample, value func(*sample) float64, bound float64, picked string, pick func([]float64) float64) {
	var all []point
	for i := range samples {
		all = append(all, point{samples[i].At, value(&samples[i])})
	}
	if len(all) < 2 {
		j.say(name, false, "not judged: the run ended within its warm-up")
		return
	}
	length := all[len(all)-1].at - all[0].at
	width := blockOf(time.Duration(length * float64(time.Second)))
	values := blocks(all, width.Seconds(), pick)
	t := trendOf(values)
	if len(values) < minBlocks || math.IsInf(t.High, 1) {
		j.say(name, false, "not judged: %d %s of %s, at least %d are needed", len(values), picked, width, minBlocks)
		return
	}
	hour := 3600.0
	j.say(name, t.High*length < bound,
		"%.3g to %.3g %s; slope %+.3g %s/h, 95 %% from %+.3g to %+.3g (Theil-Sen over %d %s of %s); growth over %s at most %.3g, allowed %.3g; Mann-Kendall against no rise: p = %.2g",
		values[0].value, values[len(values)-1].value, unit, t.Slope*hour, unit, t.Low*hour, t.High*hour, len(values), picked, width,
		time.Duration(length*float64(time.Second)).Round(time.Second), t.High*length, bound, t.Rising)
}

// resources judges what a leak would show in.
func (j *judgement) resources(o *observed) {
	var judged []sample
	for i := range o.samples {
		if o.samples[i].At >= o.warm.Seconds() {
			judged = append(judged, o.samples[i])
		}
	}
	memory, descriptors, goroutines := rssGrowth, descriptorGrowth, goroutineGrowth
	if o.length-o.warm < early {
		memory, descriptors, goroutines = rssGrowthEarly, descriptorGrowthEarly, goroutineGrowthEarly
	}
	if o.race {
		j.say("memory flat", true, "not judged: the race detector keeps memory of its own")
	} else {
		// What is in use when queues are empty and the heap was just collected: a leak raises that like everything else, and an
		// absent collector, whose spans wait in up to 8 MiB a queue, does not.
		j.trend("memory flat", "MiB", judged, func(s *sample) float64 { return s.RSS }, memory, "least values", least)
	}
	mean := 0.0
	for i := range judged {
		mean += judged[i].Descriptors / float64(len(judged))
	}
	j.flat("descriptors flat", "descriptors", judged, func(s *sample) float64 { return s.Descriptors }, descriptors*mean)
	j.flat("threads flat", "threads", judged, func(s *sample) float64 { return s.Threads }, threadGrowth)
	j.flat("goroutines flat", "goroutines", judged, func(s *sample) float64 { return s.Goroutines }, goroutines)
	before, after := &o.before, &o.after
	j.say("everything released", after.Sessions == 0 && after.Pending == 0 &&
		after.Descriptors <= before.Descriptors+idleDescriptors && after.Goroutines <= before.Goroutines+idleGoroutines,
		"after the traffic: %.0f sessions, %.0f bytes pending, descriptors %.0f (before: %.0f), goroutines %.0f (before: %.0f), threads %.0f (before: %.0f), memory %.1f MiB (before: %.1f)",
		after.Sessions, after.Pending, after.Descriptors, before.Descriptors, after.Goroutines, before.Goroutines, after.Threads, before.Threads, after.RSS, before.RSS)
}

// traffic judges what the clients saw.
func (j *judgement) traffic(o *observed) {
	c := &o.counts
	j.say("traffic never broken", c.failures == 0, "%d of %d requests ended otherwise than they must", c.failures, c.requests)
	compared := uint64(0)
	for _, k := range c.kinds {
		compared += k.Bytes
	}
	j.say("bytes unchanged at both ends", c.altered == 0 && compared > 0, "%d bodies and frames differ; %d MiB were compared", c.altered, compared>>20)
	verified := o.metrics.sum("spanwire_verified_bytes_total")
	altered := o.metrics.sum("spanwire_altered_bytes_total")
	if o.verify {
		j.say("--verify finds nothing altered", verified > 0 && altered == 0, "%.0f of %.0f bytes altered", altered, verified)
	}
	var missing []string
	for _, k := range kinds {
		if c.kinds[k.name].Requests == 0 {
			missing = append(missing, k.name)
		}
	}
	wanted, share := o.rate*o.length.Seconds(), enough
	if o.race {
		share = 0 // it is slow
	}
	j.say("the load was there", len(missing) == 0 && float64(c.requests) >= share*wanted, "%d requests of %.0f wanted, at least %.0f %% are needed; kinds without one: %s",
		c.requests, wanted, share*100, orNone(missing))
}

// accounts judges the spans.
func (j *judgement) accounts(o *observed) {
	c := &o.counts
	recorded := o.after.Recorded
	j.say("each request is one span", recorded == c.spans(), "%d spans recorded, %d requests that HTTP/1 shows were made", recorded, c.spans())
	var differences []string
	connects := o.metrics.sum("spanwire_connect_spans_total")
	none, noneWanted := connects, 0.0
	for side := range sides {
		for class, want := range c.visible[side] {
			got := o.metrics.sum("spanwire_requests_total", `side="`+side.String()+`"`, `status_class="`+classes[class]+`"`)
			if class == 0 { // a dial that fails before the request has come is a span of its own, without a side
				none, noneWanted = none+got, noneWanted+float64(want)
			} else if got != float64(want) {
				differences = append(differences, fmt.Sprintf("%s %s: %.0f for %d", side, classes[class], got, want))
			}
		}
	}
	if none != noneWanted {
		differences = append(differences, fmt.Sprintf("without a status: %.0f for %.0f", none, noneWanted))
	}
	j.say("each side counts each status", len(differences) == 0, "requests by side and status class, counted for made, that differ: %s", orNone(differences))
	for i, name := range exporterNames {
		a, gap := o.after.Exporters[i], o.after.gap(i)
		worst := int64(0)
		for k := range o.samples {
			worst = max(worst, o.samples[k].gap(i), -o.samples[k].gap(i))
		}
		j.say("account of "+name, gap == 0 && worst <= o.inFlight,
			"recorded %d = exported %d + dropped %d + queued %d, difference %d; while traffic moved at most %d, allowed %d",
			recorded, a.Exported, a.Dropped, a.Queued, gap, worst, o.inFlight)
		t := o.taken[i]
		j.say("collector of "+name, a.Exported <= t.Spans && t.Spans <= a.Exported+a.Dropped && t.Bad == 0 && a.Exported > 0 && t.Starts > 1,
			"it has %d spans, and %d once more; exported %d, dropped %d; started %d times", t.Spans, t.Repeated, a.Exported, a.Dropped, t.Starts)
	}
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// judge gives all verdicts on a run.
func judge(o *observed) []verdict {
	var j judgement
	j.traffic(o)
	j.resources(o)
	j.accounts(o)
	j.say("clean end", o.exit == 0 && o.problem == "", "exit code %d%s", o.exit, o.problem)
	return j.verdicts
}
