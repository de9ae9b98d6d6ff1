package preload

import (
	"github.com/gorm-preload/preload/internal/association"
	"github.com/gorm-preload/preload/internal/loading"
)

// together takes the first key out of a queue, and those that can be loaded by the same query.
func (p *Plugin) together(queue []*association.Expected) (r reload, rest []*association.Expected) {
	r = reload{key: queue[0].Key, expected: queue[0]}
	with, rest, load := loading.Together(p.source, queue, func(x *association.Expected) string { return x.Key })
	for _, x := range with {
		r.with = append(r.with, reload{key: x.Key, expected: x})
	}
	if r.load = load; load == nil {
		r.load, _ = p.loaderOf(r.key)
	}
	return r, rest
}
