package preload

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/hotfile"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/template"
)

// SaveHot writes down which keys are hottest, at most WithMaxPatterns, with the SQL and bind values
// that LoadHot needs to ask for them again, but no answers. It leaves out what LoadHot could not
// run: own data, queries with JOINs, into types that are no models, or whose bind values have types
// of their own, and all with WithPartition. Bind values may be worth protecting, and what LoadHot
// reads it runs: keep the file where only the application can read and write it. It is an error
// after Close, which forgets them. SaveHot is safe for concurrent use.
//
// A file that SaveHot writes directly is empty or cut off when the process is killed meanwhile:
// SaveHotFile takes care of that.
func (p *Plugin) SaveHot(to io.Writer) error {
	if err := p.inUse(); err != nil {
		return err
	}
	if err := p.saveHot(to); err != nil {
		return fmt.Errorf("preload: SaveHot: %w", err)
	}
	return nil
}

// SaveHotFile does what SaveHot does into a file that only its owner can read and write (mode
// 0600). The file is replaced as a whole: whenever the process or the machine stops, there is the
// old file or the new one. It is written beside the old one first, so the directory must be
// writable. Symbolic links are followed.
func (p *Plugin) SaveHotFile(path string) error {
	if err := p.inUse(); err != nil {
		return err
	}
	if err := hotfile.Replace(path, p.saveHot); err != nil {
		return fmt.Errorf("preload: SaveHotFile: %w", err)
	}
	return nil
}

func (p *Plugin) saveHot(to io.Writer) error {
	if to == nil {
		return errors.New("the io.Writer is nil: want what takes the keys, such as a file")
	}
	file := p.hottest()
	if p.closed.Load() {
		return errors.New("the plugin is closed and has forgotten which keys are hot: call it before Close")
	}
	text, err := json.Marshal(file)
	if err != nil {
		return err
	}
	_, err = to.Write(append(text, '\n'))
	return err
}

// hottest writes the hottest keys and their queries down.
func (p *Plugin) hottest() hotfile.File {
	file := hotfile.File{Version: hotfile.Version, Dialect: p.db.Name()}
	known := map[*template.Template]int{}
	room := hotfile.MaxFile / 2 // in the file, much of which is in base64
	for _, hot := range p.patterns.Hottest(p.config.maxPatterns, 0, p.config.now()) {
		t := p.templates.Of(hot.Key)
		if t == nil {
			continue
		}
		n, ok := known[t]
		if !ok {
			n = -1
			if q, ok := p.hotQuery(t); ok && q.Size() <= min(hotfile.MaxPart/2, room) {
				n = len(file.Queries)
				file.Queries = append(file.Queries, q)
				room -= q.Size()
			}
			known[t] = n
		}
		if n < 0 {
			continue
		}
		text := hot.Key[len(t.Prefix):]
		if _, ok := t.Binds.Load().Vars(text); ok && len(text) <= room {
			file.Keys = append(file.Keys, hotfile.Key{Query: n, Args: []byte(text)})
			room -= len(text) + hotfile.KeyOverhead
		}
	}
	return file
}

// hotQuery writes a template down, if it can be used by another process.
func (p *Plugin) hotQuery(t *template.Template) (q hotfile.Query, ok bool) {
	b := t.Binds.Load()
	if b == nil || t.Refused() != "" || len(t.Proto.Joins) > 0 || len(t.Proto.ColumnMapping) > 0 {
		return q, false
	}
	if b.Named() {
		return q, false
	}
	model := t.Proto.Schema.ModelType
	form := []byte(t.Shape)
	of, into, ok := shape.TypesIn(form)
	if !ok || binary.NativeEndian.Uint64(of) != args.TypeID(model) || binary.NativeEndian.Uint64(into) != args.TypeID(t.DestType) {
		return q, false
	}
	clear(of)
	clear(into)
	q = hotfile.Query{Model: catalog.TypeName(model), Dest: catalog.DestName(t.DestType), Table: t.Proto.Table, SQL: t.SQL, Prepared: t.Prepared, Shape: form, Args: b.Len()}
	for _, v := range b.Tail {
		text, ok := args.Encode(v)
		if _, _, named := args.CutType(text); !ok || named {
			return q, false
		}
		q.Tail = append(q.Tail, []byte(text))
	}
	return q, true
}
