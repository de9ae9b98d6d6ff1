package main

import (
	"bufio"
	"compress/gzip"
	"container/list"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/gorm-preload/preload/examples/internal/command"
	"github.com/gorm-preload/preload/examples/invented"
)

// key is one access: to the object of a type, with an id and an index.
type key uint32

const (
	typeBits  = 5
	idBits    = 18
	indexBits = 9
	types     = 1 << typeBits
)

func (k key) kind() int  { return int(k >> (idBits + indexBits)) }
func (k key) id() int    { return int(k >> indexBits & (1<<idBits - 1)) }
func (k key) index() int { return int(k & (1<<indexBits - 1)) }

func (k key) String() string {
	return fmt.Sprintf("type %d, id %d, index %d", k.kind(), k.id(), k.index())
}

// trace is accesses in their order.
type trace []key

// made is how many accesses are made up where no file is named.
const made = 40_000

// open returns a trace and its name: that of a file, or one that is made up.
func open(path string, limit int) (name string, t trace, err error) {
	if path != "" {
		t, err = readTrace(path, limit)
		return filepath.Base(path), t, err
	}
	for _, k := range invented.Accesses(made, 1) {
		t = append(t, key(k))
	}
	if limit > 0 {
		t = t[:min(limit, len(t))]
	}
	return "a shop that is made up", t, nil
}

// readTrace reads the first accesses of a file, all with limit 0. Errors say in one line what is
// wrong with the file.
func readTrace(path string, limit int) (trace, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, command.Refuse("there is no trace %s: name one with -trace", path)
	}
	if err != nil {
		return nil, command.Refuse("cannot read the trace: %w", err)
	}
	defer file.Close()
	t, err := decode(bufio.NewReader(file), strings.HasSuffix(path, ".gz"), limit)
	if err != nil {
		return nil, command.Refuse("the trace %s cannot be used: %w", path, err)
	}
	return t, nil
}

// decode reads keys. What begins as gzip data does is unpacked; with packed anything else is an
// error.
func decode(in *bufio.Reader, packed bool, limit int) (trace, error) {
	var from io.Reader = in
	if magic, _ := in.Peek(3); packed || string(magic) == "\x1f\x8b\x08" {
		unpacked, err := gzip.NewReader(in)
		if errors.Is(err, io.EOF) {
			return nil, errors.New("it is empty")
		}
		if err != nil {
			return nil, fmt.Errorf("it is not gzip data (%w)", err)
		}
		from = bufio.NewReader(unpacked)
	}
	var (
		t   trace
		buf [4]byte
	)
	for limit == 0 || len(t) < limit {
		switch n, err := io.ReadFull(from, buf[:]); {
		case err == nil:
			t = append(t, key(binary.BigEndian.Uint32(buf[:])))
		case err == io.EOF && len(t) == 0:
			return nil, errors.New("it is empty")
		case err == io.EOF:
			return t, nil
		case err == io.ErrUnexpectedEOF && n > 0:
			return nil, fmt.Errorf("it ends within a key, %d bytes after %d whole ones: want 4 bytes each", n, len(t))
		default:
			return nil, fmt.Errorf("it breaks off after %d keys: %w", len(t), err)
		}
	}
	return t, nil
}

// amongOnce returns the trace with accesses to further objects among its own, so many that they are
// about this share of all. Each of these objects is asked for once. It is the same for the same
// trace.
func (t trace) amongOnce(share float64) trace {
	if share == 0 {
		return t
	}
	known := map[key]bool{}
	for _, k := range t {
		known[k] = true
	}
	var all trace
	further := key(math.MaxUint32) // and down from there
	random := rand.New(rand.NewPCG(1, 2))
	for _, k := range t {
		for random.Float64() < share {
			for known[further] {
				further--
			}
			all = append(all, further)
			further--
		}
		all = append(all, k)
	}
	return all
}

// distinct returns every key once, in the order of their first access.
func (t trace) distinct() []key {
	seen := map[key]bool{}
	var keys []key
	for _, k := range t {
		if !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
	}
	return keys
}

// lru returns the hit ratio of a cache that keeps the n keys that were used last.
func lru(t trace, n int) float64 {
	recent := list.New()
	nodes := map[key]*list.Element{}
	hits := 0
	for _, k := range t {
		if node, ok := nodes[k]; ok {
			hits++
			recent.MoveToFront(node)
			continue
		}
		nodes[k] = recent.PushFront(k)
		if recent.Len() > n {
			delete(nodes, recent.Remove(recent.Back()).(key))
		}
	}
	return float64(hits) / float64(max(1, len(t)))
}
