// Package observed puts observers between database/sql and a driver. They are told, on the
// goroutine of the call, of each statement before it is sent and after it ended, and likewise of
// where transactions begin and end.
//
// Nothing else changes. A connection has exactly those optional interfaces whose absence
// database/sql would notice that the driver's own has; the others are repeated as database/sql
// treats their absence. Rows and results are the driver's.
package observed

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
)

// Observer makes a Watch for each connection.
type Observer interface {
	// Watch returns the watch of a connection. underway says that a transaction is open on it that
	// began before anyone watched.
	Watch(underway bool) Watch
}

// Watch is told what happens on one connection, by one goroutine at a time and with the connection
// locked: it must not wait for a connection of the same pool. A function that it returns is called
// once, with the error of what it was told of; nil stands for a function that does nothing.
type Watch interface {
	// Statement is told of a statement that is about to be sent. queried says that it gives rows,
	// which may still be read, and made, after it returned. The error is driver.ErrSkip if nothing
	// was sent and the same statement comes again.
	Statement(ctx context.Context, query string, queried bool) (after func(error))
	// Failed is told that a statement ended with an error, after the function was called with it,
	// or that its rows did.
	Failed()
	// Open reports whether a transaction is open that a statement began, as far as is known.
	Open() bool
	// Begun is told that a transaction began, other than by a statement, with what it was asked of
	// the driver. One that was asked for without a context has context.Background().
	Begun(ctx context.Context, opts driver.TxOptions)
	// Commit and Rollback are told that it is about to end, other than by a statement.
	Commit() (after func(error))
	Rollback() (after func(error))
	// Closed is told that the connection is closed.
	Closed()
}

// ErrPanic is the error of a call that did not return.
var ErrPanic = errors.New("observed: the driver panicked")

// Hub knows the observers of the connections of one Connector. It is safe for concurrent use.
type Hub struct {
	mu        sync.Mutex // one change at a time
	observers atomic.Pointer[[]Observer]
}

// Attach adds an observer: of connections that are open already from their next call on.
func (h *Hub) Attach(o Observer) {
	h.change(func(all []Observer) []Observer {
		if slices.Contains(all, o) {
			return all
		}
		return append(all, o)
	})
}

// Detach removes an observer.
func (h *Hub) Detach(o Observer) {
	h.change(func(all []Observer) []Observer {
		return slices.DeleteFunc(all, func(other Observer) bool { return other == o })
	})
}

func (h *Hub) change(by func([]Observer) []Observer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []Observer
	if now := h.observers.Load(); now != nil {
		all = slices.Clone(*now)
	}
	all = by(all)
	h.observers.Store(&all)
}

// Connector opens connections that the observers of its Hub watch.
type Connector struct {
	inner driver.Connector
	hub   *Hub
}

// NewConnector returns a Connector in front of another one.
func NewConnector(inner driver.Connector) *Connector {
	return &Connector{inner, &Hub{}}
}

// Connect implements driver.Connector.
func (c *Connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.inner.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return newConn(inner, c.hub), nil
}

// Driver implements driver.Connector. HubOf finds the hub of a pool by it.
func (c *Connector) Driver() driver.Driver { return &Driver{c.inner.Driver(), c.hub} }

// Close closes the connector behind, where it can be closed; (*sql.DB).Close calls it.
func (c *Connector) Close() error {
	if closer, ok := c.inner.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// Driver makes a Connector with a Hub of its own for each name of a data source.
type Driver struct {
	inner driver.Driver
	hub   *Hub // of the Connector that returned it; nil of a driver that is to be registered
}

// NewDriver returns a Driver in front of another one.
func NewDriver(inner driver.Driver) *Driver { return &Driver{inner, nil} }

// OpenConnector implements driver.DriverContext.
func (d *Driver) OpenConnector(name string) (driver.Connector, error) {
	if opener, ok := d.inner.(driver.DriverContext); ok {
		inner, err := opener.OpenConnector(name)
		if err != nil {
			return nil, err
		}
		return NewConnector(inner), nil
	}
	return NewConnector(named{name, d.inner}), nil
}

// Open implements driver.Driver.
func (d *Driver) Open(name string) (driver.Conn, error) {
	inner, err := d.inner.Open(name)
	if err != nil {
		return nil, err
	}
	hub := d.hub
	if hub == nil {
		hub = &Hub{}
	}
	return newConn(inner, hub), nil
}

// Unwrap returns the driver behind.
func (d *Driver) Unwrap() any { return d.inner }

// named is the connector of a driver that has none.
type named struct {
	name   string
	driver driver.Driver
}

func (n named) Connect(context.Context) (driver.Conn, error) { return n.driver.Open(n.name) }
func (n named) Driver() driver.Driver                        { return n.driver }

// HubOf returns the hub of the pool whose driver this is, and of whose connection this is; nil if
// it is not observed.
func HubOf(of any) *Hub {
	switch of := of.(type) {
	case *Driver:
		return of.hub
	case interface{ observedBy() *Hub }:
		return of.observedBy()
	}
	return nil
}

// Unwrap returns what the driver itself made of a connection or a driver that is observed, and
// anything else as it is.
func Unwrap(of any) any {
	for {
		switch o := of.(type) {
		case *Driver:
			of = o.inner
		case interface{ observedConn() driver.Conn }:
			of = o.observedConn()
		default:
			return of
		}
	}
}
