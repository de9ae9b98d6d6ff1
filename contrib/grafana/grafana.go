// Package grafana holds the dashboard, as Grafana imports it.
package grafana

import _ "embed"

// Dashboard is the text of preload.json.
//
//go:embed preload.json
var Dashboard []byte
