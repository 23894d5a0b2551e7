package main

import "github.com/spanwire/spanwire/openapi"

// readOpenAPI reads the application's description. Whatever is wrong with it is one line in the log: it makes names better, and a
// sidecar that does not start for it would make everything worse.
func (s *sidecar) readOpenAPI() *openapi.Description {
	file := s.cfg.OpenAPI
	if file == "" {
		return new(openapi.Description)
	}
	d, err := openapi.ReadFile(file)
	switch {
	case err != nil:
		s.log.Warn("description not used: operations get their names by folding", "setting", "--openapi", "file", file, "error", err)
		return new(openapi.Description)
	case d.Problem != nil:
		s.log.Warn("description used in part", "setting", "--openapi", "file", file, "paths", len(d.Templates), "left_out", d.Skipped,
			"first", d.Problem)
	default:
		s.log.Info("description read", "file", file, "paths", len(d.Templates))
	}
	return d
}
