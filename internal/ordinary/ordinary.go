package ordinary

import (
	"regexp"
	"strings"

	"github.com/gorm-preload/preload/internal/asked"
	"github.com/gorm-preload/preload/internal/sqltext"
)

// Config is what tables are made with.
type Config = asked.Config

// Tables are the names that were asked about.
type Tables struct {
	// names are how many ordinary tables there are of each.
	names   asked.Names[int]
	dialect string
}

// New returns tables of which nothing is known.
func New(config Config) *Tables { return &Tables{names: asked.Names[int]{Config: config}} }

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
	return ok && ts.names.Of(name) == 1
}

// Want has the database asked in the background about a reference, unless it was.
func (ts *Tables) Want(ref sqltext.Reference) {
	if name, ok := ts.named(ref); ok {
		ts.names.Want(name, questions[ts.dialect], nil, name)
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
