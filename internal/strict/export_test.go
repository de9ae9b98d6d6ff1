package strict

// Restart has another server read the state back.
func (b *LocalBroker) Restart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.server++
}

// Empty takes the state away.
func (b *LocalBroker) Empty() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state = nil
}
