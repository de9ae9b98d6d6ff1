package ordinary

import (
	"database/sql"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/gorm-preload/preload/internal/sqltext"
)

// Config is what tables are made with.
type Config struct {
	// Settled returns a number that is another one whenever a name may have become that of another
	// thing; false where names may mean different things on different connections.
	Settled func() (moment int64, ok bool)
	// Ask runs something in the background, once at a time for a name, that asks the database for
	// one row. It reports whether it will.
	Ask func(name string, do func(row func(query string, args ...any) (*sql.Row, error)) error) bool
	Now func() time.Time
}

// Tables are the names that were asked about.
type Tables struct {
	Config
	dialect string

	mu     sync.Mutex
	moment int64 // as of which all answers are
	names  map[string]*answer
}

// answer is what is known of a name.
type answer struct {
	table bool
	asks  bool      // the database is being asked
	again time.Time // when it may be asked again that did not answer
}

const (
	// maxNames bounds the names; where there are more all are asked about again.
	maxNames = 1_000
	// patience is how long a database is left alone that did not answer.
	patience = time.Minute
)

// New returns tables of which nothing is known.
func New(config Config) *Tables { return &Tables{Config: config} }

// Serve sets the dialect of the database: once, and before any name is asked about.
func (ts *Tables) Serve(dialect string) { ts.dialect = dialect }

// plain are names that mean the same in quotes and without, but for their case.
var plain = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// named returns what a reference is asked about as; false where it is not asked about.
func (ts *Tables) named(ref sqltext.Reference) (name string, ok bool) {
	if name = ref.Name; ts.dialect == "postgres" && !ref.Quoted {
		name = strings.ToLower(name)
	}
	return name, questions[ts.dialect] != "" && plain.MatchString(name)
}

// Is reports whether a reference is to an ordinary table, as far as is known.
func (ts *Tables) Is(ref sqltext.Reference) bool {
	name, ok := ts.named(ref)
	moment, settled := ts.Settled()
	if !ok || !settled {
		return false
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	known := ts.names[name]
	return known != nil && known.table && ts.moment == moment
}

// Want has the database asked in the background about a reference, unless it was.
func (ts *Tables) Want(ref sqltext.Reference) {
	name, ok := ts.named(ref)
	moment, settled := ts.Settled()
	if !ok || !settled || !ts.begin(name, moment) {
		return
	}
	begun := ts.Ask(name, func(row func(string, ...any) (*sql.Row, error)) error {
		n, err := -1, error(nil)
		defer func() { ts.end(name, moment, n == 1, err != nil || n < 0) }()
		var found *sql.Row
		if found, err = row(questions[ts.dialect], name); err == nil {
			err = found.Scan(&n)
		}
		return err
	})
	if !begun {
		ts.forget(name, moment)
	}
}

// begin notes that the database is asked about a name. It reports false where that is not needed.
func (ts *Tables) begin(name string, moment int64) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.moment != moment || len(ts.names) >= maxNames {
		ts.moment, ts.names = moment, nil
	}
	if known := ts.names[name]; known != nil && (known.asks || known.again.IsZero() || ts.Now().Before(known.again)) {
		return false
	}
	if ts.names == nil {
		ts.names = map[string]*answer{}
	}
	ts.names[name] = &answer{asks: true}
	return true
}

// end notes what the database said, unless it may say another thing by now.
func (ts *Tables) end(name string, moment int64, table, failed bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	known := ts.names[name]
	if ts.moment != moment || known == nil {
		return
	}
	if known.asks, known.table = false, table && !failed; failed {
		known.again = ts.Now().Add(patience)
	}
}

func (ts *Tables) forget(name string, moment int64) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.moment == moment {
		delete(ts.names, name)
	}
}

// questions ask each database how many ordinary tables have a name, as a connection of the pool
// understands it.
var questions = map[string]string{
	"sqlite": `SELECT count(*) FROM main.sqlite_master t
		WHERE t.name = ?1 COLLATE NOCASE AND t.type = 'table' AND t.rootpage > 0 AND t.name NOT LIKE 'sqlite\_%' ESCAPE '\'
		AND NOT EXISTS (SELECT 1 FROM temp.sqlite_master m WHERE m.name = ?1 COLLATE NOCASE OR m.type = 'trigger')
		AND NOT EXISTS (SELECT 1 FROM main.sqlite_master o WHERE o.type = 'trigger' OR o.type = 'table' AND o.rootpage = 0)
		AND NOT EXISTS (SELECT 1 FROM pragma_foreign_key_list(t.name) f
			WHERE f.on_delete NOT IN ('NO ACTION', 'RESTRICT') OR f.on_update NOT IN ('NO ACTION', 'RESTRICT'))`,
	"postgres": `SELECT count(*) FROM pg_catalog.pg_class c
		WHERE c.oid = pg_catalog.to_regclass(pg_catalog.quote_ident($1)) AND c.oid >= 16384 AND c.relkind = 'r' AND c.relpersistence <> 't'
		AND NOT c.relispartition AND NOT c.relhassubclass AND NOT c.relhasrules AND NOT c.relrowsecurity
		AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent))
		AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_class o WHERE o.relname = c.relname AND o.relpersistence = 't')
		AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint f
			WHERE f.conrelid = c.oid AND f.contype = 'f' AND (f.confdeltype NOT IN ('a', 'r') OR f.confupdtype NOT IN ('a', 'r')))
		AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_class o JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace
			WHERE (o.relnamespace = c.relnamespace OR n.nspname = ANY (pg_catalog.current_schemas(false))) AND (
				EXISTS (SELECT 1 FROM pg_catalog.pg_trigger g WHERE g.tgrelid = o.oid AND NOT g.tgisinternal)
				OR EXISTS (SELECT 1 FROM pg_catalog.pg_rewrite w WHERE w.ev_class = o.oid AND w.rulename <> '_RETURN')))`,
	// Who may not make triggers does not see those that there are.
	"mysql": `SELECT count(*) FROM information_schema.TABLES t
		WHERE t.TABLE_SCHEMA = DATABASE() AND BINARY t.TABLE_NAME = ? AND t.TABLE_TYPE = 'BASE TABLE' AND t.ENGINE IN ('InnoDB', 'MyISAM', 'Aria')
		AND NOT EXISTS (SELECT 1 FROM information_schema.TRIGGERS g WHERE g.EVENT_OBJECT_SCHEMA = DATABASE())
		AND NOT EXISTS (SELECT 1 FROM information_schema.REFERENTIAL_CONSTRAINTS f
			WHERE f.CONSTRAINT_SCHEMA = DATABASE() AND f.TABLE_NAME = t.TABLE_NAME
			AND (f.DELETE_RULE NOT IN ('NO ACTION', 'RESTRICT') OR f.UPDATE_RULE NOT IN ('NO ACTION', 'RESTRICT')))
		AND (EXISTS (SELECT 1 FROM information_schema.USER_PRIVILEGES p
				WHERE p.PRIVILEGE_TYPE = 'TRIGGER' AND p.GRANTEE = concat('''', replace(current_user(), '@', '''@'''), ''''))
			OR EXISTS (SELECT 1 FROM information_schema.SCHEMA_PRIVILEGES p
				WHERE p.PRIVILEGE_TYPE = 'TRIGGER' AND DATABASE() LIKE p.TABLE_SCHEMA
				AND p.GRANTEE = concat('''', replace(current_user(), '@', '''@'''), '''')))`,
}
