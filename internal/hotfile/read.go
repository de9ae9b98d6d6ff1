package hotfile

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/shape"
)

// maxDamage bounds the errors about single queries and keys of a file; more are counted.
const maxDamage = 8

var (
	errHotFileLong = fmt.Errorf("it is longer than %d MiB, and what comes after them is left out", MaxFile>>20)
	errHotPartLong = fmt.Errorf("a query or key is longer than %d KiB, and what comes after is left out", MaxPart>>10)
)

// Read reads what SaveHot wrote, as far as it is good and not too much. What is damaged is in
// the error, and left out of the file: a key that is there is of a query that is there.
func Read(ctx context.Context, from io.Reader, maxBytes int64, maxKeys int) (file File, damage error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := &hotInput{ctx: ctx, from: from, most: maxBytes}
	in.json = json.NewDecoder(in)
	if err := in.file(&file, maxKeys); err != nil {
		in.damage = append(in.damage, in.explain(err))
	}
	if in.more > 0 {
		in.damage = append(in.damage, fmt.Errorf("%d more queries and keys are damaged", in.more))
	}
	return file, errors.Join(in.damage...)
}

// hotInput reads a file of hot keys piece by piece, and never more of it than may be there.
type hotInput struct {
	ctx   context.Context
	from  io.Reader
	json  *json.Decoder
	read  int64
	most  int64       // that may be read
	asked chan []byte // what the reading goroutine is to fill
	got   chan hotRead
	chunk []byte // what it fills
	begun bool   // it begins as a file of SaveHot's
	// enough says that as many keys were read as can be loaded.
	enough bool

	damage []error
	more   int // how many are not in it
}

type hotRead struct {
	n   int
	err error
}

// Read hands on what the file's reader gives, until the context ends or there is too much.
func (in *hotInput) Read(to []byte) (int, error) {
	switch {
	case in.ctx.Err() != nil:
		return 0, in.ctx.Err()
	case in.read >= in.most:
		return 0, errHotFileLong
	case in.read-in.json.InputOffset() >= MaxPart:
		return 0, errHotPartLong
	}
	if in.asked == nil {
		in.asked, in.got = make(chan []byte), make(chan hotRead, 1)
		in.chunk = make([]byte, 32<<10)
		go fetchHot(in.ctx, in.from, in.asked, in.got)
	}
	// The goroutine fills memory that is not the decoder's: it may do so after the context ended.
	select {
	case in.asked <- in.chunk[:min(len(to), len(in.chunk))]:
	case <-in.ctx.Done():
		return 0, in.ctx.Err()
	}
	select {
	case got := <-in.got:
		if got.n < 0 || got.n > len(to) {
			return 0, errors.New("the io.Reader says that it read more than it was asked for")
		}
		in.read += int64(got.n)
		return copy(to, in.chunk[:got.n]), got.err
	case <-in.ctx.Done():
		in.chunk = nil // it may be written to
		return 0, in.ctx.Err()
	}
}

// fetchHot reads whenever it is asked to, until the context ends, so that a reader that blocks
// keeps nobody but itself.
func fetchHot(ctx context.Context, from io.Reader, asked <-chan []byte, got chan<- hotRead) {
	for {
		select {
		case to := <-asked:
			got <- readOnce(from, to)
		case <-ctx.Done():
			return
		}
	}
}

func readOnce(from io.Reader, to []byte) (r hotRead) {
	defer func() {
		if fault := recover(); fault != nil {
			r = hotRead{0, fmt.Errorf("the io.Reader panicked: %s", failopen.PlainFault(fault))}
		}
	}()
	r.n, r.err = from.Read(to)
	return r
}

// file reads the whole of it. The error is what keeps it from reading on.
func (in *hotInput) file(file *File, maxKeys int) error {
	if err := in.delim('{'); err != nil {
		return err
	}
	in.begun = true
	for in.json.More() {
		name, err := in.json.Token()
		if err != nil {
			return err
		}
		switch name {
		case "preload":
			err = in.json.Decode(&file.Version)
		case "dialect":
			err = in.json.Decode(&file.Dialect)
		case "queries":
			err = in.queries(file, maxKeys)
		case "keys":
			err = in.keys(file, maxKeys)
		default:
			err = in.json.Decode(&json.RawMessage{}) // of a later version
		}
		if err != nil {
			return err
		}
		if file.Version != Version {
			file.Queries, file.Keys = nil, nil
			if name != "preload" {
				return errors.New("this is nothing that SaveHot wrote: it does not begin with a version")
			}
			return fmt.Errorf("this is of version %d: want %d", file.Version, Version)
		}
		if in.enough {
			return nil
		}
	}
	return in.delim('}')
}

// queries reads the queries. One that is damaged stays in its place.
func (in *hotInput) queries(file *File, most int) error {
	return in.list(func(i int) (bool, error) {
		var q Query
		err := in.json.Decode(&q)
		if fatal := beyond(err); fatal != nil {
			return false, fatal
		}
		if err != nil {
			q.Damaged = true
			in.damaged(fmt.Errorf("query %d before byte %d is of another form", i, in.json.InputOffset()))
		} else if what := q.check(); what != "" {
			q.Damaged = true
			in.damaged(fmt.Errorf("query %d before byte %d: %s", i, in.json.InputOffset(), what))
		}
		file.Queries = append(file.Queries, q)
		if len(file.Queries) > most {
			return false, fmt.Errorf("there are more than %d queries, as many as keys may be loaded (WithMaxEntries, WithMaxPatterns)", most)
		}
		return true, nil
	})
}

// keys reads the keys, at most so many.
func (in *hotInput) keys(file *File, most int) error {
	return in.list(func(i int) (bool, error) {
		var key Key
		err := in.json.Decode(&key)
		if fatal := beyond(err); fatal != nil {
			return false, fatal
		}
		at := func(what string) {
			in.damaged(fmt.Errorf("key %d before byte %d: %s", i, in.json.InputOffset(), what))
		}
		switch {
		case err != nil:
			at("it is of another form")
		case key.Query < 0 || key.Query >= len(file.Queries):
			at(fmt.Sprintf("a key is of query %d, of %d", key.Query, len(file.Queries)))
		case file.Queries[key.Query].Damaged:
		case !isArgs(string(key.Args), file.Queries[key.Query].Args):
			at(fmt.Sprintf("its bind values are broken: want %d", file.Queries[key.Query].Args))
		default:
			file.Keys = append(file.Keys, key)
		}
		in.enough = len(file.Keys) >= most || i >= 2*most
		return !in.enough, nil
	})
}

// isArgs reports whether a text is so many args of a key, as keys have them.
func isArgs(text string, n int) bool {
	values, ok := args.Split(text, nil)
	if !ok || len(values) != n || len(text) > args.Long {
		return false
	}
	for _, v := range values {
		if _, ok := args.Decode(v); !ok {
			return false
		}
	}
	return true
}

// check says what is broken of a query, "" if nothing is.
func (q *Query) check() string {
	if _, _, _, ok := shape.TypesIn(q.Shape); !ok {
		return "its shape is broken"
	}
	if q.Args < 0 || q.Args > min(len(q.SQL), args.Long) {
		return "the number of its bind values is broken"
	}
	for _, arg := range q.Tail {
		if !isArgs(string(arg), 1) {
			return "its bind values are broken"
		}
	}
	return ""
}

// list reads a list, also one that is null, as long as element asks for more.
func (in *hotInput) list(element func(i int) (more bool, err error)) error {
	token, err := in.json.Token()
	if err != nil || token == nil {
		return err
	}
	if token != json.Delim('[') {
		return fmt.Errorf("at byte %d is no list", in.json.InputOffset())
	}
	for i := 0; in.json.More(); i++ {
		if more, err := element(i); err != nil || !more {
			return err
		}
	}
	return in.delim(']')
}

func (in *hotInput) delim(want json.Delim) error {
	token, err := in.json.Token()
	if err == nil && token != want {
		err = fmt.Errorf("at byte %d is no %q", in.json.InputOffset(), want.String())
	}
	return err
}

func (in *hotInput) damaged(err error) {
	if len(in.damage) < maxDamage {
		in.damage = append(in.damage, err)
	} else {
		in.more++
	}
}

// beyond returns the error of a decoder unless it can go on with the next element.
func beyond(err error) error {
	var kind *json.UnmarshalTypeError
	var text base64.CorruptInputError
	if errors.As(err, &kind) || errors.As(err, &text) {
		return nil
	}
	return err
}

// explain says of what kept the file from being read on what it is, and where.
func (in *hotInput) explain(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF) && !in.begun && in.read == 0:
		return errors.New("it is empty")
	case in.ctx.Err() != nil, errors.Is(err, errHotFileLong):
		return err
	case errors.Is(err, errHotPartLong):
		return fmt.Errorf("after byte %d: %w", in.json.InputOffset(), err)
	case !in.begun:
		return fmt.Errorf("this is nothing that SaveHot wrote: %w", err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("this is nothing that SaveHot wrote as a whole: it is cut off at byte %d", in.read)
	case errors.As(err, &syntax):
		return fmt.Errorf("what comes after byte %d is nothing that SaveHot wrote: %w", in.json.InputOffset(), err)
	case errors.As(err, &kind):
		return fmt.Errorf("the value before byte %d is of another type than SaveHot writes", in.json.InputOffset())
	}
	return err
}
