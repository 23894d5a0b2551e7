package admin

// appendSampling appends how often a remote sampler asked its endpoint.
func (s *Server) appendSampling(e *encoder) {
	var ok, failed uint64
	if s.cfg.SamplerPolls != nil {
		ok, failed = s.cfg.SamplerPolls()
	}
	e.family("spanwire_sampler_polls_total", "counter", "Questions to the sampling endpoint, by result.")
	e.uint(ok, "result", "ok")
	e.uint(failed, "result", "failed")
}
