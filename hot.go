package preload

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/gorm-preload/preload/internal/coherence"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// hotVersion is that of the format, and of what shapes are made of.
const hotVersion = 1

// maxFailed is how many loads of one query may fail before LoadHot leaves it out.
const maxFailed = 3

// hotFile is what SaveHot writes: queries, and the keys of the hottest of them, never values of answers.
type hotFile struct {
	Version int        `json:"preload"`
	Dialect string     `json:"dialect"`
	Queries []hotQuery `json:"queries"`
	Keys    []hotKey   `json:"keys"` // hottest first
}

// hotQuery is a template.
type hotQuery struct {
	Model string   `json:"model"` // its type, with its package
	Dest  string   `json:"dest"`  // the type of the destination
	Table string   `json:"table"`
	SQL   string   `json:"sql"`
	Shape []byte   `json:"shape"` // without the types, which each process numbers in its own way
	Args  int      `json:"args"`  // in a key
	Tail  [][]byte `json:"tail"`  // the bind values that are not among them
}

type hotKey struct {
	Query int    `json:"query"`
	Args  []byte `json:"args"`
}

// SaveHot writes down which keys are hottest, at most WithMaxPatterns, with the SQL and bind values that LoadHot needs to ask for them
// again, but no answers. It leaves out what LoadHot could not run: own data, queries with JOINs, into types that are no models, or
// whose bind values have types of their own, and all with WithPartition. Bind values may be worth protecting, and what LoadHot reads it
// runs: keep the file where only the application can read and write it. It is an error after Close, which forgets them. SaveHot is safe for
// concurrent use.
func (p *Plugin) SaveHot(to io.Writer) error {
	if !p.ready.Load() {
		return errNotInitialized
	}
	file := hotFile{Version: hotVersion, Dialect: p.db.Name()}
	known := map[*template]int{}
	for _, hot := range p.patterns.Hottest(p.config.maxPatterns, 0, p.now()) {
		t := p.templates.of(hot.Key)
		if t == nil {
			continue
		}
		n, ok := known[t]
		if !ok {
			n = -1
			if q, ok := p.hotQuery(t); ok {
				n = len(file.Queries)
				file.Queries = append(file.Queries, q)
			}
			known[t] = n
		}
		if n >= 0 {
			file.Keys = append(file.Keys, hotKey{n, []byte(hot.Key[len(t.prefix):])})
		}
	}
	if p.closed.Load() {
		return errors.New("preload: SaveHot: the plugin is closed and has forgotten which keys are hot: call it before Close")
	}
	text, err := json.Marshal(file)
	if err == nil {
		_, err = to.Write(append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("preload: SaveHot: %w", err)
	}
	return nil
}

// hotQuery writes a template down, if it can be used by another process.
func (p *Plugin) hotQuery(t *template) (q hotQuery, ok bool) {
	b := t.binds.Load()
	if b == nil || t.refusal(p) != "" || len(t.proto.Joins) > 0 || len(t.proto.ColumnMapping) > 0 {
		return q, false
	}
	if slices.ContainsFunc(b.args, func(one bind) bool { return one.named != nil }) {
		return q, false
	}
	model := t.proto.Schema.ModelType
	shape := []byte(t.shape)
	of, into, ok := typesIn(shape)
	if !ok || binary.NativeEndian.Uint64(of) != typeID(model) || binary.NativeEndian.Uint64(into) != typeID(t.destType) {
		return q, false
	}
	clear(of)
	clear(into)
	q = hotQuery{Model: typeName(model), Dest: destName(t.destType), Table: t.proto.Table, SQL: t.sql, Shape: shape, Args: len(b.args)}
	for _, v := range b.tail {
		text, ok := encodeArg(v)
		if _, _, named := cutType(text); !ok || named {
			return q, false
		}
		q.Tail = append(q.Tail, []byte(text))
	}
	return q, true
}

// typesIn returns where the types of the model and of the destination are in a shape, as fingerprint.head writes them.
func typesIn(shape []byte) (model, dest []byte, ok bool) {
	const size = 8
	skipText := func(from int) int {
		n, width := binary.Uvarint(shape[min(max(from, 0), len(shape)):])
		if from < 0 || width <= 0 || n > uint64(len(shape)) {
			return -1
		}
		return from + width + int(n)
	}
	at := skipText(0)
	if at < 0 || at+size+1 > len(shape) {
		return nil, nil, false
	}
	model = shape[at : at+size]
	at += size
	other := shape[at] == '+' // the table of the schema follows
	if at++; other {
		at = skipText(at)
	}
	if at < 0 || at+size > len(shape) {
		return nil, nil, false
	}
	return model, shape[at : at+size], true
}

// typeName names a type that has a name.
func typeName(t reflect.Type) string { return t.PkgPath() + "." + t.Name() }

// destName names the type of a destination by what it is made of.
func destName(t reflect.Type) string {
	switch {
	case t.Name() != "":
		return typeName(t)
	case t.Kind() == reflect.Pointer:
		return "*" + destName(t.Elem())
	case t.Kind() == reflect.Slice:
		return "[]" + destName(t.Elem())
	}
	return t.String()
}

// named returns the type that has a name of destName, if it is made of models in use and of what every process has.
func (c *catalog) named(name string) reflect.Type {
	if rest, ok := strings.CutPrefix(name, "*"); ok {
		if t := c.named(rest); t != nil {
			return reflect.PointerTo(t)
		}
		return nil
	}
	if rest, ok := strings.CutPrefix(name, "[]"); ok {
		if t := c.named(rest); t != nil {
			return reflect.SliceOf(t)
		}
		return nil
	}
	for _, t := range plainTypes {
		if destName(t) == name {
			return t
		}
	}
	if s := c.model(name); s != nil {
		return s.ModelType
	}
	return nil
}

var plainTypes = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[string](), reflect.TypeFor[float32](), reflect.TypeFor[float64](),
	reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](),
	reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](),
	timeType, reflect.TypeFor[map[string]any](),
}

// model returns the schema of a model in use by the name of its type; nil if there is none, or several.
func (c *catalog) model(name string) (found *schema.Schema) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for s := range c.seen {
		if s.ModelType.Name() == "" || typeName(s.ModelType) != name {
			continue
		}
		if found != nil && found.ModelType != s.ModelType {
			return nil
		}
		found = s
	}
	return found
}

// LoadHot reads what SaveHot wrote, perhaps in another process, and loads these keys, hottest first and those of one query together,
// so that they are in memory before they are asked for. Models have to be known: Register them first. What cannot be loaded any more
// (a model or a column that is gone, another dialect's SQL) is logged and left out; what is in memory already is left as it is. progress,
// where it is given, is called now and then with how many of all keys are done. The error says that the file is none of SaveHot's, or
// that the context ended or the database is gone, in which case some keys may have been loaded. LoadHot is safe for concurrent use.
func (p *Plugin) LoadHot(ctx context.Context, from io.Reader, progress ...func(done, total int)) error {
	if !p.ready.Load() {
		return errNotInitialized
	}
	file, err := p.readHot(from)
	if err != nil {
		return fmt.Errorf("preload: LoadHot: %w", err)
	}
	var (
		templates = make([]*template, len(file.Queries))
		queue     []*expected
		total     = len(file.Keys)
		failed    = map[*template]int{}
	)
	if file.Dialect != p.db.Name() {
		p.config.logger.Warn("preload: LoadHot: the keys were saved from another database", "dialect", file.Dialect, "want", p.db.Name())
		file.Queries, file.Keys = nil, nil
	}
	if p.config.partition != nil && len(file.Keys) > 0 {
		p.config.logger.Warn("preload: LoadHot: keys do not tell the partition that they are of, so that none is loaded: remove WithPartition, or do not call LoadHot")
		file.Queries, file.Keys = nil, nil
	}
	for i, q := range file.Queries {
		if templates[i], err = p.hotTemplate(q); err != nil {
			p.config.logger.Warn("preload: LoadHot: a query is left out", "model", q.Model, "sql", q.SQL, "err", err)
		}
	}
	for _, key := range file.Keys {
		t := templates[key.Query]
		if t == nil {
			continue
		}
		whole := t.prefix + string(key.Args)
		if _, ok := p.loaderOf(whole); ok && p.lookup(whole, p.now()) == nil {
			queue = append(queue, &expected{key: whole})
		}
	}
	show := func(done int) {
		for _, show := range progress {
			if show != nil {
				show(done, total)
			}
		}
	}
	for len(queue) > 0 {
		show(total - len(queue))
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("preload: LoadHot: %d of %d keys were not loaded: %w", len(queue), total, err)
		}
		if p.closed.Load() {
			return fmt.Errorf("preload: LoadHot: %d of %d keys were not loaded: the plugin is closed", len(queue), total)
		}
		t := p.templates.of(queue[0].key)
		var r reload
		if failed[t] == 0 {
			r, queue = p.together(queue)
		} else { // one of them may be to blame
			r, queue = reload{key: queue[0].key}, queue[1:]
			r.load, _ = p.loaderOf(r.key)
		}
		if r.load == nil || failed[t] > maxFailed {
			continue
		}
		err := p.loadHot(ctx, &r)
		if err == nil || ctx.Err() != nil {
			continue
		}
		if gone := p.pool.Ping(); gone != nil {
			return fmt.Errorf("preload: LoadHot: %d of %d keys were not loaded: %w: %w", len(queue)+1+len(r.with), total, errDatabase, gone)
		}
		failed[t]++
		if len(r.with) > 0 {
			for one := range r.all {
				queue = append(queue, &expected{key: one.key})
			}
			continue
		}
		p.config.logger.Warn("preload: LoadHot: a key is left out", "key", r.key, "err", err)
		if failed[t] > maxFailed {
			p.config.logger.Warn("preload: LoadHot: a query is left out", "key", r.key)
		}
	}
	show(total)
	return nil
}

func (p *Plugin) loadHot(ctx context.Context, r *reload) (err error) {
	ctx, cancel := context.WithTimeout(ctx, p.config.loadTimeout)
	defer cancel()
	p.guard("loading hot keys", func() {
		run := r.load(ctx)
		if run == nil {
			return // readers came first
		}
		var stored []*entry
		stored, err = run()
		for _, e := range stored {
			if load, ok := p.loaderOf(e.key); ok {
				p.keepLoader(e.key, load)
			}
		}
	})
	return err
}

// readHot reads what SaveHot wrote.
func (p *Plugin) readHot(from io.Reader) (file hotFile, err error) {
	in := json.NewDecoder(from)
	if err := in.Decode(&file); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("it is empty")
		}
		return file, fmt.Errorf("this is nothing that SaveHot wrote: %w", err)
	}
	if file.Version != hotVersion {
		return file, fmt.Errorf("this is of version %d: want %d", file.Version, hotVersion)
	}
	for _, key := range file.Keys {
		if key.Query < 0 || key.Query >= len(file.Queries) {
			return file, fmt.Errorf("this is nothing that SaveHot wrote: a key is of query %d, of %d", key.Query, len(file.Queries))
		}
	}
	return file, nil
}

// hotTemplate returns the template of a query that was written down.
func (p *Plugin) hotTemplate(q hotQuery) (*template, error) {
	s := p.catalog.model(q.Model)
	if s == nil {
		return nil, errors.New("the model is not in use: Register it first")
	}
	dest := p.catalog.named(q.Dest)
	if dest == nil || dest.Kind() != reflect.Pointer && dest.Kind() != reflect.Map {
		return nil, fmt.Errorf("there is no type %s", q.Dest)
	}
	m := p.model(s)
	if m.err != nil {
		return nil, m.err
	}
	if m.policy == nil {
		return nil, errors.New("the model is not opted in")
	}
	shape := bytes.Clone(q.Shape)
	of, into, ok := typesIn(shape)
	if !ok {
		return nil, errors.New("its shape is broken")
	}
	binary.NativeEndian.PutUint64(of, typeID(s.ModelType))
	binary.NativeEndian.PutUint64(into, typeID(dest))
	if t := p.templates.find(shape); t != nil {
		return t, nil
	}
	if q.Args < 0 || q.Args > len(q.SQL) {
		return nil, errors.New("its bind values are broken")
	}
	b := &binds{args: make([]bind, q.Args)}
	for _, arg := range q.Tail {
		values, ok := splitArgs(string(arg), nil)
		if !ok || len(values) != 1 {
			return nil, errors.New("its bind values are broken")
		}
		v, ok := decodeArg(string(arg))
		if !ok {
			return nil, errors.New("its bind values are broken")
		}
		b.tail = append(b.tail, v)
	}
	var t *template
	if !p.guard("restoring a query", func() {
		t = p.newTemplate(string(shape), p.hotStatement(q, s, dest), m.policy)
	}) {
		return nil, errors.New("it is broken")
	}
	if reason := t.refusal(p); reason != "" {
		return nil, errors.New(reason)
	}
	t.binds.Store(b)
	t.state.Store(restored)
	return p.templates.add(t), nil
}

// The states of a template.
const (
	met      = iota // it was made of a statement
	restored        // it was read from a file, and no statement has confirmed it yet
	refuted         // a statement of its shape has other SQL
)

// confirm compares a template that was read from a file with a statement of its shape, and these args. If the shape stands for
// other SQL now, all that the template found is forgotten.
func (p *Plugin) confirm(t *template, db *gorm.DB, args []byte) bool {
	stmt := db.Statement
	if render(db); db.Error != nil {
		return false
	}
	b := t.binds.Load()
	vars, decoded := b.vars(string(args))
	asked := stmt.Vars
	if !decoded && len(asked) == len(b.args)+len(b.tail) {
		// Such as values of named types, which LoadHot has none of: the rest is compared.
		vars, asked = b.tail, asked[len(b.args):]
	}
	same := stmt.SQL.String() == t.sql && slices.EqualFunc(vars, asked, func(a, b any) bool {
		one, ok := encodeArg(a)
		other, ok2 := encodeArg(b)
		return ok && ok2 && one == other
	})
	stmt.SQL.Reset()
	stmt.Vars = nil
	if same {
		if decoded {
			t.state.CompareAndSwap(restored, met)
		}
		return true
	}
	if t.state.CompareAndSwap(restored, refuted) {
		p.templates.remove(t)
		p.invalidate([]coherence.Change{coherence.Loose(fold(t.proto.Schema.Table), coherence.Any)})
		p.config.logger.Warn("preload: keys of LoadHot are forgotten: their query is another one now", "sql", t.sql)
	}
	return false
}

// hotStatement returns a statement as it is when its SQL was written.
func (p *Plugin) hotStatement(q hotQuery, s *schema.Schema, dest reflect.Type) *gorm.Statement {
	stmt := p.db.Session(&gorm.Session{NewDB: true, Initialized: true}).Statement
	stmt.Schema, stmt.Table = s, q.Table
	stmt.SQL.WriteString(q.SQL)
	if dest.Kind() == reflect.Map {
		stmt.ReflectValue = reflect.MakeMap(dest)
		stmt.Dest = stmt.ReflectValue.Interface()
		return stmt
	}
	rv := reflect.New(dest.Elem())
	stmt.Dest = rv.Interface()
	for rv.Kind() == reflect.Pointer {
		if rv.IsNil() {
			rv.Set(reflect.New(rv.Type().Elem()))
		}
		rv = rv.Elem()
	}
	stmt.ReflectValue = rv
	return stmt
}
