package preload

// together takes the first key out of a queue, and those that can be loaded by the same query.
func (p *Plugin) together(queue []*expected) (r reload, rest []*expected) {
	first := queue[0]
	r = reload{key: first.key, expected: first}
	r.load, _ = p.loaderOf(first.key)
	rest = queue[1:]
	if len(rest) == 0 {
		return r, rest
	}
	batch := p.source.Batch(first.key)
	if batch == nil {
		return r, rest
	}
	var later []*expected
	for _, x := range rest {
		if !batch.Add(x.key) {
			later = append(later, x)
			continue
		}
		r.with = append(r.with, reload{key: x.key, expected: x})
	}
	if len(r.with) > 0 {
		r.load = batch.Load
	}
	return r, later
}
