package dbtest

import (
	"bytes"
	"database/sql/driver"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
)

// Proxy is a TCP proxy between a handle and its server, that a test can make lose, hold and delay
// what passes. It is safe for concurrent use.
type Proxy struct {
	listener net.Listener
	server   string
	done     chan struct{}
	running  sync.WaitGroup

	mu      sync.Mutex
	rule    func(Packet) Verdict
	links   map[*Link]bool
	refuses bool
}

// Link is one connection through a Proxy.
type Link struct {
	client, server net.Conn
	// silent is closed when nothing passes any more.
	silent chan struct{}
	once   sync.Once
	// closed is closed when both sides are.
	closed    chan struct{}
	closeOnce sync.Once
}

// Packet is a piece of what a client (Up) or a server sent. It is as large as one read of the
// network, so that it may hold several messages, or the part of one; a statement of a test's size
// is whole in practice.
type Packet struct {
	Link *Link
	Up   bool
	Data []byte
}

// Has reports whether the packet is a client's and holds this text, such as a statement.
func (p Packet) Has(text string) bool { return p.Up && bytes.Contains(p.Data, []byte(text)) }

// Verdict says what becomes of a packet.
type Verdict struct {
	kind  verdict
	delay time.Duration
	until <-chan struct{}
	// When what is left of a connection that is lost or silent ends on each side; 0 if it does not.
	server, client time.Duration
}

type verdict uint8

const (
	pass verdict = iota
	cut
	cutAfter
	lose
	loseAfter
	silence
	silenceAfter
	late
)

// The verdicts.
var (
	// Pass lets the packet pass.
	Pass = Verdict{kind: pass}
	// Cut drops the packet and closes the connection on both sides.
	Cut = Verdict{kind: cut}
	// CutAfter lets the packet pass and then closes the connection on both sides.
	CutAfter = Verdict{kind: cutAfter}
	// Lose drops the packet and closes the connection on the client's side. The server is not told
	// before the Proxy is closed.
	Lose = Verdict{kind: lose}
	// LoseAfter lets the packet pass and then does as Lose does.
	LoseAfter = Verdict{kind: loseAfter}
	// Silence drops the packet and all that follows on the connection, which stays open on both
	// sides: it is half open.
	Silence = Verdict{kind: silence}
	// SilenceAfter lets the packet pass and then does as Silence does.
	SilenceAfter = Verdict{kind: silenceAfter}
)

// Delay lets the packet pass after a while.
func Delay(d time.Duration) Verdict { return Verdict{kind: pass, delay: d} }

// Until has a connection that is lost, late or silent end after these times on the sides of the
// server and of the client, as operating systems find out at last.
func (v Verdict) Until(server, client time.Duration) Verdict {
	v.server, v.client = server, client
	return v
}

// Late closes the connection on the client's side at once, and lets the packet pass when until is
// closed, as if it had been on its way. The server is not told that the client is gone.
func Late(until <-chan struct{}) Verdict { return Verdict{kind: late, until: until} }

// Behind returns the database as it is seen through a Proxy of its own, which ends with the test.
// SQLite has none: the test is skipped.
func (d *Database) Behind(t testing.TB) (*Database, *Proxy) {
	t.Helper()
	if d.dsn == "" {
		t.Skipf("%s: has no connection that could be cut", d.Dialect)
	}
	p, err := newProxy(d.address())
	must(t, err)
	t.Cleanup(p.Close)
	behind := *d
	behind.Probe = &Probe{}
	behind.dsn = d.dsnAt(p.listener.Addr().String())
	behind.source = behind.dsn
	drv := d.driver
	if d.Dialect == "mysql" {
		drv = quietMySQL{}
	}
	behind.connector = func(probe *Probe) driver.Connector { return &connector{drv, behind.dsn, probe} }
	return &behind, p
}

// address returns where the server of the database listens.
func (d *Database) address() string {
	if d.Dialect == "mysql" {
		config, err := mysqldriver.ParseDSN(d.dsn)
		if err != nil {
			return ""
		}
		return config.Addr
	}
	u, err := url.Parse(d.dsn)
	if err != nil {
		return ""
	}
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), "5432")
	}
	return u.Host
}

// dsnAt returns the DSN with another address.
func (d *Database) dsnAt(address string) string {
	if d.Dialect == "mysql" {
		config, _ := mysqldriver.ParseDSN(d.dsn)
		config.Addr = address
		return config.FormatDSN()
	}
	u, _ := url.Parse(d.dsn)
	u.Host = address
	return u.String()
}

func newProxy(server string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: listener, server: server, done: make(chan struct{}), links: map[*Link]bool{}}
	p.running.Go(p.accept)
	return p, nil
}

// Rule has f say what becomes of each packet; nil lets all pass. f is called on the goroutine that
// carries the packet, and may wait.
func (p *Proxy) Rule(f func(Packet) Verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rule = f
}

// CutAll closes all connections on both sides.
func (p *Proxy) CutAll() {
	for _, l := range p.all() {
		l.close()
	}
}

// SilenceAll lets nothing pass any more on the connections that there are, which stay open.
func (p *Proxy) SilenceAll() {
	for _, l := range p.all() {
		l.hush()
	}
}

// SilenceAllUntil is SilenceAll, and ends what is left as Verdict.Until does. It returns how many
// connections fell silent.
func (p *Proxy) SilenceAllUntil(server, client time.Duration) int {
	links := p.all()
	for _, l := range links {
		l.hush()
		l.end(server, client)
	}
	return len(links)
}

// Refuse has new connections be closed at once.
func (p *Proxy) Refuse(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = yes
}

// Links returns how many connections there are.
func (p *Proxy) Links() int { return len(p.all()) }

// Close closes all connections, and the proxy for good.
func (p *Proxy) Close() {
	p.mu.Lock()
	select {
	case <-p.done:
		p.mu.Unlock()
		return
	default:
	}
	close(p.done)
	p.mu.Unlock()
	_ = p.listener.Close()
	p.CutAll()
	p.running.Wait()
}

func (p *Proxy) all() (links []*Link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		links = append(links, l)
	}
	return links
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		refuses := p.refuses
		p.mu.Unlock()
		if refuses {
			_ = client.(*net.TCPConn).SetLinger(0)
			_ = client.Close()
			continue
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		l := &Link{client: client, server: server, silent: make(chan struct{}), closed: make(chan struct{})}
		p.mu.Lock()
		select {
		case <-p.done:
			p.mu.Unlock()
			l.close()
			return
		default:
		}
		p.links[l] = true
		p.mu.Unlock()
		p.running.Go(func() { p.carry(l, true) })
		p.running.Go(func() { p.carry(l, false) })
	}
}

// carry carries what one side of a link sends to the other.
func (p *Proxy) carry(l *Link, up bool) {
	from, to := l.server, l.client
	if up {
		from, to = l.client, l.server
	}
	defer p.ended(l)
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			select {
			case <-l.silent:
				select { // the other side is not to notice
				case <-p.done:
				case <-l.closed:
				}
			default:
			}
			l.close()
			return
		}
		p.mu.Lock()
		rule := p.rule
		p.mu.Unlock()
		v := Pass
		if rule != nil {
			v = rule(Packet{l, up, buf[:n]})
		}
		if v.delay > 0 {
			select {
			case <-time.After(v.delay):
			case <-p.done:
			}
		}
		select {
		case <-l.silent:
			continue // read on, so that the sender notices nothing
		default:
		}
		if v.kind == late {
			l.hush()
			_ = l.client.Close()
			select {
			case <-v.until:
			case <-p.done:
			}
		}
		switch v.kind {
		case cutAfter, loseAfter, silenceAfter:
			l.hush() // before the other side can answer
		}
		switch v.kind {
		case late, pass, cutAfter, loseAfter, silenceAfter:
			if _, err := to.Write(buf[:n]); err != nil {
				l.close()
				return
			}
		}
		switch v.kind {
		case cut, cutAfter:
			l.close()
			return
		case lose, loseAfter:
			l.hush()
			_ = l.client.Close()
			l.end(v.server, v.client)
		case late:
			l.end(v.server, v.client)
		case silence, silenceAfter:
			l.hush()
			l.end(v.server, v.client)
		}
	}
}

func (l *Link) hush() { l.once.Do(func() { close(l.silent) }) }

// Cut closes the connection on both sides.
func (l *Link) Cut() { l.close() }

// Silence lets nothing pass any more; the connection stays open on both sides.
func (l *Link) Silence() { l.hush() }

func (l *Link) close() {
	_ = l.client.Close()
	_ = l.server.Close()
	l.closeOnce.Do(func() { close(l.closed) })
}

// end closes the sides of a silent link, each after a while.
func (l *Link) end(server, client time.Duration) {
	if server > 0 && server < client {
		time.AfterFunc(server, func() { _ = l.server.Close() })
	}
	if server > 0 || client > 0 {
		time.AfterFunc(max(server, client), l.close)
	}
}

func (p *Proxy) ended(l *Link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}
