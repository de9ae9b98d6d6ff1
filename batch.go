package preload

import "github.com/gorm-preload/preload/internal/association"

// together takes the first key out of a queue, and those that can be loaded by the same query.
func (p *Plugin) together(queue []*association.Expected) (r reload, rest []*association.Expected) {
	first := queue[0]
	r = reload{key: first.Key, expected: first}
	r.load, _ = p.loaderOf(first.Key)
	rest = queue[1:]
	if len(rest) == 0 {
		return r, rest
	}
	batch := p.source.Batch(first.Key)
	if batch == nil {
		return r, rest
	}
	var later []*association.Expected
	for _, x := range rest {
		if !batch.Add(x.Key) {
			later = append(later, x)
			continue
		}
		r.with = append(r.with, reload{key: x.Key, expected: x})
	}
	if len(r.with) > 0 {
		r.load = batch.Load
	}
	return r, later
}
