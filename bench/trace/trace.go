// Package trace reads a trace of the accesses of an object-relational mapper, or has one made up,
// and makes the objects that it asks for.
package trace

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/gorm-preload/preload/examples/invented"
)

// Key is one access of a trace.
type Key uint32

// Type, ID and Position are what the object is known by.
func (k Key) Type() int     { return int(k >> 27) }
func (k Key) ID() int       { return int(k >> 9 & (1<<18 - 1)) }
func (k Key) Position() int { return int(k & (1<<9 - 1)) }

func (k Key) String() string {
	return fmt.Sprintf("objects_%02d %d %d", k.Type(), k.ID(), k.Position())
}

// Made is how many accesses are made up where no file is named.
const Made = 40_000

// Open returns the first accesses of a trace, all for 0, and what to call it. Without a path they
// are made up.
func Open(path string, limit int) (name string, keys []Key, err error) {
	if path != "" {
		keys, err = ReadFile(path, limit)
		return path, keys, err
	}
	if limit == 0 {
		limit = Made
	}
	for _, k := range invented.Accesses(limit, 1) {
		keys = append(keys, Key(k))
	}
	return "a shop that is made up", keys, nil
}

// ReadFile reads the first accesses of a trace, all for 0, from a file of big-endian 32-bit keys
// that is packed with gzip.
func ReadFile(path string, limit int) (keys []Key, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("%s is not gzip data: %w", path, err)
	}
	in := bufio.NewReader(unpacked)
	var buf [4]byte
	for limit == 0 || len(keys) < limit {
		_, err := io.ReadFull(in, buf[:])
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s breaks off after %d keys: %w", path, len(keys), err)
		}
		keys = append(keys, Key(binary.BigEndian.Uint32(buf[:])))
	}
	return keys, nil
}
