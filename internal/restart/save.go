package restart

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/hotfile"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/template"
)

// Save writes the hottest keys and their queries down, as Load reads them.
func (h *Handover) Save(to io.Writer) error {
	if to == nil {
		return errors.New("the io.Writer is nil: want what takes the keys, such as a file")
	}
	file := h.hottest(hotfile.MaxFile)
	if h.Closed() {
		return errors.New("the plugin is closed and has forgotten which keys are hot: call it before Close")
	}
	text, err := json.Marshal(file)
	if err != nil {
		return err
	}
	_, err = to.Write(append(text, '\n'))
	return err
}

// List returns what Save writes, as far as it fits into hotfile.MaxList; nil where no key is hot.
func (h *Handover) List() ([]byte, error) {
	file := h.hottest(hotfile.MaxList)
	if h.Closed() || len(file.Keys) == 0 {
		return nil, nil
	}
	list, err := json.Marshal(file)
	if err == nil && len(list) > hotfile.MaxList { // SQL may be longer in JSON than it is
		return nil, fmt.Errorf("the list of hot keys is of %d bytes: want %d at most", len(list), hotfile.MaxList)
	}
	return list, err
}

// hottest returns the file of the hottest keys, as many as there may be in one of so many bytes.
func (h *Handover) hottest(most int) hotfile.File {
	file := hotfile.File{Version: hotfile.Version, Dialect: h.Dialect}
	known := map[*template.Template]int{}
	left := most / 2 // of the file, much of which is in base64
	for _, hot := range h.Patterns.Hottest(h.MaxPatterns, 0, h.Cache.Now()) {
		t := h.Templates.Of(hot.Key)
		if t == nil {
			continue
		}
		n, ok := known[t]
		if !ok {
			n = -1
			if q, ok := writtenDown(t); ok && q.Size() <= min(hotfile.MaxPart/2, left) {
				n = len(file.Queries)
				file.Queries = append(file.Queries, q)
				left -= q.Size()
			}
			known[t] = n
		}
		if n < 0 {
			continue
		}
		text := hot.Key[len(t.Prefix):]
		if _, ok := t.Binds.Load().Vars(text); ok && len(text) <= left {
			file.Keys = append(file.Keys, hotfile.Key{Query: n, Args: []byte(text), Score: finite(hot.Score)})
			left -= len(text) + hotfile.KeyOverhead
		}
	}
	return file
}

// finite returns a score as JSON has it.
func finite(score float64) float64 { return max(0, min(score, math.MaxFloat64)) }

// writtenDown returns a template as it is in a file, if another process can use it.
func writtenDown(t *template.Template) (q hotfile.Query, ok bool) {
	b := t.Binds.Load()
	if b == nil || t.Text || t.First || t.Terms != nil || t.Refused() != "" || len(t.Proto.Joins) > 0 || len(t.Proto.ColumnMapping) > 0 {
		return q, false
	}
	if b.Named() {
		return q, false
	}
	model := t.Proto.Schema.ModelType
	form := []byte(t.Shape)
	of, into, _, ok := shape.TypesIn(form)
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
