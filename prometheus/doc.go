// Package prometheus tells Prometheus of a preload plugin.
//
//	prometheus.MustRegister(preloadprometheus.NewCollector(plugin))
//
// The figures are those of Plugin.Stats, read when Prometheus asks for them. A label "table" is the
// table of a model, or "other" beyond 200 of them; no label holds a key, a value or SQL. The
// directory contrib has a dashboard for Grafana and rules for alerts that ask for them.
package prometheus
