package backend

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"

	"github.com/openzipkin/zipkin-go/model"

	"github.com/spanwire/spanwire/demo/mesh"
	"github.com/spanwire/spanwire/demo/spans"
)

// minJava is the oldest Java that Zipkin 3 runs on.
const minJava = 17

// ErrNoJava says that there is no Java, or one too old.
var ErrNoJava = errors.New("no Java 17 or later: apt-get install openjdk-17-jre-headless")

// javaVersion finds the version in what `java -version` writes: 17.0.15, or 1.8.0 before Java 9.
var javaVersion = regexp.MustCompile(`version "(\d+)`)

// servingPattern finds the address in Zipkin's log once it serves.
var servingPattern = regexp.MustCompile(`Serving HTTP at .* - (http://127\.0\.0\.1:\d+)/`)

// Zipkin is a running Zipkin.
type Zipkin struct{ Server }

// FindJava returns the path of a Java that Zipkin runs on, else ErrNoJava.
func FindJava() (string, error) {
	path, err := exec.LookPath("java")
	if err != nil {
		return "", ErrNoJava
	}
	out, err := exec.Command(path, "-version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w (java -version: %w)", ErrNoJava, err)
	}
	if match := javaVersion.FindSubmatch(out); match != nil {
		if v, err := strconv.Atoi(string(match[1])); err == nil && v >= minJava {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w (found %.60q)", ErrNoJava, out)
}

// StartZipkin starts the server from its executable jar on a free port, with its store in memory, and returns once it serves.
func StartZipkin(ctx context.Context, java, jar string) (*Zipkin, error) {
	p, err := mesh.StartProcess("Zipkin", java, []string{
		// Half the time to start, at the price of speed that nobody needs here.
		"-XX:TieredStopAtLevel=1", "-Xms64m", "-Xmx512m", "-jar", jar,
		"--armeria.ports[0].ip=127.0.0.1", "--armeria.ports[0].port=0", "--armeria.ports[0].protocols[0]=http",
	}, nil)
	if err != nil {
		return nil, err
	}
	z := &Zipkin{Server{Name: "Zipkin", process: p, uiPath: "/zipkin/traces/", apiPath: "/api/v2/trace/", decode: decodeZipkin, cleanup: func() {}}}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	err = p.Await(ctx, func(output string) bool {
		match := servingPattern.FindStringSubmatch(output)
		if match != nil {
			z.base = match[1]
		}
		return match != nil
	})
	if err != nil {
		p.Kill()
		return nil, err
	}
	return z, nil
}

// Endpoint returns the URL for spans.
func (z *Zipkin) Endpoint() string { return z.base + "/api/v2/spans" }

// decodeZipkin decodes a trace as Zipkin's API v2 answers it.
func decodeZipkin(answer []byte) ([]spans.Span, error) {
	var list []model.SpanModel
	if err := decodeJSON(answer, &list); err != nil {
		return nil, err
	}
	out := make([]spans.Span, 0, len(list))
	for _, m := range list {
		out = append(out, spans.FromZipkin(m))
	}
	return out, nil
}
