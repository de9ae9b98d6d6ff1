package preload

import (
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/gorm-preload/preload/internal/coherence"
)

// Mode says how far a plugin takes part in reads. Writes are seen in each, so that a change of the
// mode never has an answer served that a write has invalidated meanwhile.
type Mode int32

// The modes.
const (
	// ModeOn answers reads from memory: the default.
	ModeOn Mode = iota
	// ModeShadow asks the database for every read, and compares what it gives with what memory
	// would have given: no read is answered from memory, and once the plugin is in use no query is
	// made that the application did not ask for. What Stats counts as hits are those that memory
	// would have answered.
	ModeShadow
	// ModeOff asks the database for every read, and keeps nothing.
	ModeOff
)

// String returns "on", "shadow" or "off".
func (m Mode) String() string {
	switch m {
	case ModeOn:
		return "on"
	case ModeShadow:
		return "shadow"
	case ModeOff:
		return "off"
	}
	return fmt.Sprintf("Mode(%d)", int32(m))
}

// ModeVariable is the environment variable that sets the mode of all plugins: off, shadow or on. It
// comes before WithMode, so that a test suite can run without the plugin; SetMode comes before
// both.
const ModeVariable = "PRELOAD"

// WithMode sets the mode that the plugin begins in. Default ModeOn.
func WithMode(mode Mode) Option {
	return func(c *config) {
		c.require(ModeOn <= mode && mode <= ModeOff, "WithMode", mode, "ModeOff, ModeShadow or ModeOn")
		c.mode = mode
	}
}

// modeOfEnvironment has the environment set the mode.
func (c *config) modeOfEnvironment() {
	switch name := os.Getenv(ModeVariable); strings.ToLower(name) {
	case "":
	case "on":
		c.mode = ModeOn
	case "shadow":
		c.mode = ModeShadow
	case "off":
		c.mode = ModeOff
	default:
		c.errs = append(c.errs, fmt.Errorf("preload: the environment variable %s is %q: want off, shadow or on", ModeVariable, name))
	}
}

// Mode returns the mode that the plugin is in: ModeOff once it is closed.
func (p *Plugin) Mode() Mode {
	if p.idle() || p.closed.Load() {
		return ModeOff
	}
	return p.mode()
}

// SetMode changes how far the plugin takes part in reads, from the reads on that begin after it
// returns. ModeOff also invalidates all answers. SetMode has models served again that WithVerify
// switched off. The error says that there is no such mode, or is ErrClosed.
func (p *Plugin) SetMode(mode Mode) error {
	switch {
	case p.idle():
		return errNoPlugin
	case mode < ModeOn || mode > ModeOff:
		return fmt.Errorf("preload: SetMode(%v): want ModeOff, ModeShadow or ModeOn", mode)
	}
	before, ok := p.enter(mode)
	if !ok {
		return fmt.Errorf("preload: SetMode: %w", ErrClosed)
	}
	if mode == ModeOn && p.ready.Load() {
		p.source.Sure()
	}
	p.templates.Restore()
	if mode == ModeOff {
		p.log.Invalidate([]coherence.Change{coherence.Everything})
		p.cache.ForgetPast()
	}
	if before != mode {
		entries, bytes := p.cache.Size()
		p.config.report(slog.LevelInfo, "preload: the mode is another one", "", "mode", mode.String(), "before", before.String(), "entries", entries, "bytes", bytes)
	}
	return nil
}
