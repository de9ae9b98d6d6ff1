package sqltext

import (
	"database/sql"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	_ "github.com/mattn/go-sqlite3"
)

// shapeDialects are those whose statements can be simple.
var shapeDialects = []string{sqlite, mysql, postgres}

// in writes a statement with backticks and question marks as GORM does in a dialect.
func in(dialect, statement string) string {
	if dialect != postgres {
		return statement
	}
	var out strings.Builder
	for i, code := range strings.Split(strings.ReplaceAll(statement, "`", `"`), "?") {
		if i > 0 {
			fmt.Fprintf(&out, "$%d", i)
		}
		out.WriteString(code)
	}
	return out.String()
}

// brief writes what is not zero in a shape, in one line: bind values as ?1, unknown ones as ~.
func brief(s Shape) string {
	verbs := [...]string{"?", "select", "insert", "update", "delete"}
	out := []string{verbs[s.Verb], s.Table.Name}
	show := func(label string, items []string) {
		if len(items) > 0 {
			out = append(out, label+"("+strings.Join(items, " ")+")")
		}
	}
	names := func(list []Name) (items []string) {
		for _, n := range list {
			items = append(items, n.Text)
		}
		return items
	}
	row := func(values []Operand) string {
		var items []string
		for _, o := range values {
			items = append(items, briefOperand(o))
		}
		return strings.Join(items, ",")
	}
	var pins, rows, set []string
	for _, pin := range s.Pins {
		var values []string
		for _, v := range pin.Values {
			values = append(values, row(v))
		}
		pins = append(pins, strings.Join(names(pin.Columns), ",")+"="+strings.Join(values, "|"))
	}
	for _, r := range s.Rows {
		rows = append(rows, "["+row(r)+"]")
	}
	for _, a := range s.Set {
		set = append(set, a.Column.Text+"="+briefOperand(a.Value))
	}
	show("list", names(s.Selected))
	show("alias", names(s.Aliases))
	show("pins", pins)
	show("filter", names(s.Filter))
	show("group", names(s.Group))
	show("order", names(s.Order))
	show("columns", names(s.Columns))
	show("rows", rows)
	show("target", names(s.Target))
	show("set", set)
	flags := []struct {
		on   bool
		name string
	}{
		{s.Star, "star"}, {s.Computed, "computed"}, {s.Aggregate, "aggregate"}, {s.Distinct, "distinct"}, {s.Grouped, "grouped"}, {s.Ordered, "ordered"},
		{s.Limited, "limited"}, {s.Offset, "offset"}, {s.Conflict == Ignored, "ignored"}, {s.Conflict == Updated, "updated"},
	}
	for _, f := range flags {
		if f.on {
			out = append(out, f.name)
		}
	}
	return strings.Join(out, " ")
}

func briefOperand(o Operand) string {
	switch o.Kind {
	case Bind:
		return fmt.Sprintf("?%d", o.Param)
	case Number:
		return o.Text
	case Text:
		return "'" + o.Text + "'"
	case Null:
		return "NULL"
	case True:
		return "TRUE"
	case False:
		return "FALSE"
	}
	return "~"
}

// accepted are statements that are simple, in the dialects given (all if empty), and their shapes.
var accepted = []struct{ dialects, sql, want string }{
	// What GORM renders.
	{"", "SELECT * FROM `t`", "select t star"},
	{"sqlite postgres", "SELECT * FROM `t` WHERE `t`.`id` = ? AND `t`.`deleted_at` IS NULL ORDER BY `t`.`id` LIMIT ?",
		"select t pins(id=?1 deleted_at=NULL) filter(id deleted_at) order(id) star ordered limited"},
	{"mysql", "SELECT * FROM `t` WHERE `t`.`id` = ? AND `t`.`deleted_at` IS NULL ORDER BY `t`.`id` LIMIT ?",
		"select t pins(id=?1) filter(id deleted_at) order(id) star ordered limited"},
	{"", "SELECT `t`.`id`,`t`.`a` FROM `t` WHERE (platform = ? AND user_id = ?) AND `t`.`id` = 10",
		"select t list(id a) pins(platform=?1 user_id=?2 id=10) filter(platform user_id id)"},
	{"", "SELECT `a`,`b` FROM `t` WHERE `a` IN (?,?)", "select t list(a b) pins(a=?1|?2) filter(a)"},
	{"", "SELECT * FROM `t` WHERE `a` IN (NULL)", "select t filter(a) star"},
	{"", "SELECT * FROM `t` WHERE (`t`.`a`,`t`.`b`) IN ((?,?),(?,?))", "select t pins(a,b=?1,?2|?3,?4) filter(a b) star"},
	{"", "SELECT * FROM `t` WHERE a = ? OR b = ?", "select t filter(a b) star"},
	{"", "SELECT * FROM `t` WHERE (a = ? OR b = ?) AND c = ?", "select t pins(c=?3) filter(a b c) star"},
	{"", "SELECT * FROM `t` WHERE NOT (a = ? OR b = ?)", "select t filter(a b) star"},
	{"", "SELECT * FROM `t` WHERE a <> ? AND NOT b = ? AND c NOT IN (?,?)", "select t filter(a b c) star"},
	{"", "SELECT * FROM `t` WHERE a LIKE ? AND b > ? AND c = ?", "select t pins(c=?3) filter(a b c) star"},
	{"", "SELECT * FROM `t` WHERE a BETWEEN ? AND ? AND c = ?", "select t pins(c=?3) filter(a c) star"},
	{"", "SELECT count(*) FROM `t`", "select t computed aggregate"},
	{"", "SELECT sum(a) AS s, max(b) FROM `t`", "select t list(a b) alias(s) computed aggregate"},
	{"", "SELECT count(*), a FROM `t`", "select t list(a) computed"},
	{"", "SELECT max(a) + 1 FROM `t`", "select t list(a) computed aggregate"},
	{"", "SELECT coalesce(sum(a), 0), round(avg(b) / 2, 1) FROM `t`", "select t list(a b) computed aggregate"},
	{"", "SELECT sum(a) + b FROM `t`", "select t list(a b) computed"},
	{"", "SELECT coalesce(sum(a), b) FROM `t`", "select t list(a b) computed"},
	{"", "SELECT concat(sum(a), 1) FROM `t`", "select t list(a) computed"},
	{"", "SELECT coalesce(a, 0) FROM `t`", "select t list(a) computed"},
	{"", "SELECT coalesce(1, 0) FROM `t`", "select t computed"},
	{"", "SELECT `a` AS `b` FROM `t` ORDER BY `t`.`a` LIMIT 1", "select t list(a) alias(b) order(a) ordered limited"},
	{"", "SELECT `a` AS `b`, `c` FROM `t` ORDER BY `b` LIMIT 1", "select t list(a c) alias(b) order(b a c) ordered limited"},
	{"sqlite", "SELECT max(a, b) FROM `t`", "select t list(a b) computed"},
	{"", "SELECT count(*) FROM `t` WHERE a = ?", "select t pins(a=?1) filter(a) computed aggregate"},
	{"", "SELECT COUNT(DISTINCT(`a`)) FROM `t`", "select t list(a) computed aggregate"},
	{"", "SELECT DISTINCT `a` FROM `t` ORDER BY b desc, `c`", "select t list(a) order(b c) distinct ordered"},
	{"", "SELECT a, count(*) AS n FROM `t` GROUP BY `a` HAVING max(b) > ? ORDER BY count(*) DESC",
		"select t list(a) alias(n) group(a b a) order(a) computed grouped ordered"},
	{"", "SELECT * FROM `t` ORDER BY a DESC LIMIT 10 OFFSET 20", "select t order(a) star ordered limited offset"},
	{"sqlite mysql", "SELECT * FROM `t` LIMIT ?,?", "select t star limited offset"},
	{"sqlite", "SELECT * FROM `t` LIMIT -1 OFFSET 5", "select t star limited offset"},
	{"postgres", "SELECT * FROM `t` OFFSET ?", "select t star offset"},
	{"postgres", "SELECT * FROM `t` OFFSET ? LIMIT ?", "select t star limited offset"},
	{"", "SELECT * FROM t AS u WHERE u.a = ?", "select t pins(a=?1) filter(a) star"},
	{"", "SELECT * FROM t u WHERE u.a = ?", "select t pins(a=?1) filter(a) star"},
	{"", "SELECT * FROM `s`.`t` WHERE `t`.`a` = ? AND `s`.`t`.`b` = ?", "select s.t pins(a=?1 b=?2) filter(a b) star"},
	{"", "UPDATE `t` SET `a`=?,`b`=b + ?,`c`=NULL,d='x' WHERE `id` = ?",
		"update t pins(id=?3) filter(id) set(a=?1 b=~ c=NULL d='x')"},
	{"sqlite postgres", "UPDATE `t` SET `deleted_at`=? WHERE id = ? AND `t`.`deleted_at` IS NULL",
		"update t pins(id=?2 deleted_at=NULL) filter(id deleted_at) set(deleted_at=?1)"},
	{"", "UPDATE `t` SET `a`=CASE WHEN b = ? THEN ? ELSE c END", "update t set(a=~)"},
	{"mysql", "UPDATE `t` SET `t`.`a`=? WHERE `t`.`id` = ?", "update t pins(id=?2) filter(id) set(a=?1)"},
	{"sqlite postgres", "UPDATE `t` SET `a`=? WHERE b IS NULL RETURNING *", "update t pins(b=NULL) filter(b) set(a=?1)"},
	{"", "DELETE FROM `t` WHERE `t`.`id` = ?", "delete t pins(id=?1) filter(id)"},
	{"", "DELETE FROM `t` WHERE `t`.`id` IN (?,?) RETURNING `id`", "delete t pins(id=?1|?2) filter(id)"},
	{"", "DELETE FROM `t`", "delete t"},
	{"", "INSERT INTO `t` (`a`,`b`) VALUES (?,?),(?,b + ?) RETURNING `id`", "insert t columns(a b) rows([?1,?2] [?3,~])"},
	{"", "INSERT INTO `t` (`a`,`b`) VALUES (DEFAULT,1.5)", "insert t columns(a b) rows([~,1.5])"},
	{"sqlite postgres", "INSERT INTO `t` (`a`) VALUES (?) ON CONFLICT (`id`) DO UPDATE SET `a`=`excluded`.`a`,b=? RETURNING `id`",
		"insert t columns(a) rows([?1]) target(id) set(a=~ b=?2) updated"},
	{"sqlite postgres", "INSERT INTO `t` (`a`) VALUES (?) ON CONFLICT (a,b) WHERE c > 0 DO UPDATE SET `a`=? WHERE t.b = 1",
		"insert t columns(a) rows([?1]) target(a b) set(a=?2) updated"},
	{"sqlite postgres", "INSERT INTO `t` (`a`) VALUES (?) ON CONFLICT DO NOTHING", "insert t columns(a) rows([?1]) ignored"},
	{"mysql", "INSERT INTO `t` (`a`) VALUES (?) ON DUPLICATE KEY UPDATE `a`=VALUES(`a`),`b`=?",
		"insert t columns(a) rows([?1]) set(a=~ b=?2) updated"},
	{"sqlite postgres", "INSERT INTO `t` DEFAULT VALUES RETURNING `id`", "insert t rows([])"},
	{"mysql", "INSERT INTO `t` VALUES ()", "insert t rows([])"},
	{"mysql", "INSERT INTO t () VALUES (),()", "insert t rows([] [])"},

	// Pins: only of terms that are nothing else.
	{"", "SELECT * FROM t WHERE a = ? AND b = ? AND (c = 'x' AND (d = 4))", "select t pins(a=?1 b=?2 c='x' d=4) filter(a b c d) star"},
	{"", "SELECT * FROM t WHERE a = ? + 1 AND b = -1 AND c = d AND ? = e", "select t filter(a b c d e) star"},
	{"", "SELECT * FROM t WHERE (a) = ? AND (a = ?) = ? AND a = b = ?", "select t filter(a b) star"},
	{"", "SELECT * FROM t WHERE a BETWEEN 1 AND b = 2", "select t filter(a b) star"},
	{"", "SELECT * FROM t WHERE a BETWEEN b BETWEEN 1 AND 2 AND 3 AND c = 4", "select t pins(c=4) filter(a b c) star"},
	{"", "SELECT * FROM t WHERE CASE WHEN a = 1 AND b = 2 AND c THEN d END", "select t filter(a b c d) star"},
	{"", "SELECT * FROM t WHERE NOT a = 1 AND b = 2", "select t pins(b=2) filter(a b) star"},
	{"", "SELECT * FROM t WHERE a = 1 AND b = 2 || c", "select t filter(a b c) star"},
	{"mysql", "SELECT * FROM t WHERE a = 1 XOR b = 2", "select t filter(a b) star"},
	{"mysql", "SELECT * FROM t WHERE a = 1 && b = 2", "select t filter(a b) star"},
	{"mysql", "SELECT * FROM t WHERE binary a = 'x' AND b = binary 'x'", "select t filter(a b) star"},
	{"mysql", "SELECT * FROM t WHERE a = _utf8mb4'x' AND b = x'41' AND c = 'a' 'b' AND d <=> 1", "select t filter(a _utf8mb4 b x c d) star"},
	{"mysql", `SELECT * FROM t WHERE a = 'it''s' AND b = 'it\'s'`, "select t pins(a='it's') filter(a b) star"},
	{"mysql", "SELECT * FROM t WHERE a = TRUE AND b = false", "select t pins(a=TRUE b=FALSE) filter(a b) star"},
	{"postgres", "SELECT * FROM t WHERE a = true", "select t pins(a=TRUE) filter(a) star"},
	{"sqlite", "SELECT * FROM t WHERE a = true AND true = 1", "select t filter(a true) star"},
	{"mysql", "SELECT * FROM t WHERE a IS NULL", "select t filter(a) star"},
	{"", "SELECT * FROM t WHERE a IS NOT NULL AND (a, b) IN ((1,NULL),(2,?))", "select t pins(a,b=2,?1) filter(a b) star"},
	{"", "SELECT * FROM t WHERE (a, b) = (?, ?) AND (a, c) = (?, d)", "select t pins(a,b=?1,?2) filter(a b c d) star"},
	{"", "SELECT * FROM t WHERE (a, b) IN ((1,2),(3,4,5))", "select t filter(a b) star"},
	{"", "SELECT * FROM t WHERE a COLLATE x = ? AND b = ? COLLATE `y`", "select t filter(a b) star"},
	{"sqlite", "SELECT * FROM t WHERE a == ? AND b IS ?", "select t pins(a=?1) filter(a b) star"},
	{"sqlite", "SELECT * FROM t WHERE a IN () AND [b c] = ?", "select t pins(b c=?1) filter(a b c) star"},
	{"sqlite", `SELECT * FROM t WHERE a = '\'`, `select t pins(a='\') filter(a) star`},
	{"postgres", "SELECT * FROM t WHERE a = ?::int AND b::int = 1 AND c = E'x' AND d = ANY(?)", "select t filter(a b c E d) star"},
	{"postgres", "SELECT * FROM t WHERE a = $2 AND b = $1 AND c = $$x$$", "select t pins(a=?2 b=?1 c='x') filter(a b c) star"},
	{"postgres", "SELECT * FROM t WHERE user = ? AND `user` = ? AND current_date = ?", "select t pins(user=?2) filter(user user current_date) star"},
	{"sqlite mysql", "SELECT * FROM t WHERE user = ?", "select t pins(user=?1) filter(user) star"},
	{"sqlite mysql", "SELECT a + ? FROM t WHERE a = ? AND b = ? LIMIT ?", "select t list(a) pins(a=?2 b=?3) filter(a b) computed limited"},

	// Names: a word of the syntax is no column, and what could be one is.
	{"", "SELECT * FROM t WHERE a LIKE 'x' ESCAPE '!' AND b NOT LIKE c", "select t filter(a b c) star"},
	{"sqlite", "SELECT * FROM t WHERE a GLOB 'x' AND NOT like = 1 AND match", "select t filter(a like match) star"},
	{"sqlite", "SELECT * FROM t ORDER BY a NOT like desc, b ISNULL like desc, c desc", "select t order(a desc b like c) star ordered"},
	{"sqlite", "SELECT * FROM t ORDER BY desc, NOT desc, -desc, a desc NULLS LAST, lower(b) asc", "select t order(desc a b) star ordered"},
	{"sqlite", "SELECT group_concat(a ORDER BY like desc) FROM t", "select t list(a like desc) computed"},
	{"sqlite", "SELECT * FROM t WHERE CASE a WHEN 1 THEN end END", "select t filter(a end END) star"},
	{"sqlite", "SELECT rowid, a FROM t WHERE oid = 3", "select t list(rowid a) pins(oid=3) filter(oid)"},
	{"mysql", "SELECT * FROM t WHERE binary a > 1 AND offset = 2", "select t pins(offset=2) filter(a offset) star"},
	{"postgres", "SELECT * FROM t WHERE between = 1 AND a = 2", "select t filter(between a) star"},
	{"postgres", "SELECT a::text, cast(b AS int) FROM t WHERE a @> '{1}' AND b->>'x' ~* 'y' AND c[d] = 1",
		"select t list(a b) filter(a b c d) computed"},
	{"postgres", "SELECT * FROM t WHERE a IS NOT DISTINCT FROM b AND c AT TIME ZONE d", "select t filter(a b c AT TIME ZONE d) star"},
	{"postgres", "SELECT * FROM t WHERE a ILIKE ? ORDER BY b NULLS FIRST", "select t filter(a) order(b) star ordered"},
	{"", "SELECT a * b, count(*) FROM t", "select t list(a b) computed"},
	{"", "SELECT *, t.*, a FROM t", "select t list(a) star"},
	{"", "SELECT (a), coalesce(b, 0) FROM t", "select t list(a b) computed"},

	// The row as a whole.
	{"postgres", "SELECT to_json(t), count(t.*) FROM t", "select t list(t *) computed"},
	{"postgres", "SELECT x FROM t x WHERE x.* IS NOT NULL", "select t list(x *) filter(*) computed"},
	{"postgres", "SELECT a FROM t WHERE t IS NULL ORDER BY t", "select t list(a) pins(t=NULL) filter(t *) order(t *) ordered"},

	// Aliases.
	{"", "SELECT a AS b FROM t ORDER BY b", "select t list(a) alias(b) order(b a) ordered"},
	{"", "SELECT a AS b FROM t WHERE b = ? AND c = ?", "select t list(a) alias(b) pins(c=?2) filter(b c a)"},
	{"", "SELECT `a` b, t.c d FROM t GROUP BY d", "select t list(a c) alias(b d) group(d a c) grouped"},
	{"sqlite mysql", "SELECT a b, c 'd' FROM t WHERE d = 1", "select t list(a b c) alias(b d) filter(d a b c) computed"},
	{"sqlite", "SELECT a+1 b FROM t WHERE b = 1", "select t list(a b) alias(b) filter(b a) computed"},
	{"postgres", "SELECT lower(a) FROM t ORDER BY lower", "select t list(a) order(lower a) computed ordered"},
	{"postgres", "SELECT a FROM t GROUP BY (a, b)", "select t list(a) group(a b) grouped"},

	// The text around the statement.
	{"", " select/**/a from t -- where\n where a=?;", "select t list(a) pins(a=?1) filter(a)"},
	{"", "SELECT größe FROM 表 WHERE größe = 'ö'", "select 表 list(größe) pins(größe='ö') filter(größe)"},
	{"", "SELECT `c.d` FROM t WHERE `x y` = 'a;b--'", "select t list(c.d) pins(x y='a;b--') filter(x y)"},
	{"sqlite mysql", "SELECT `a``b` FROM t", "select t list(a`b)"},
	{"postgres", `SELECT "a""b" FROM t`, `select t list(a"b)`},
	{"mysql", "SELECT * FROM `t` WHERE `a` = 1 AND `a` LIKE \"a\"", "select t pins(a=1) filter(a) star"},
}

func TestSimpleStatements(t *testing.T) {
	t.Parallel()
	for _, c := range accepted {
		for _, d := range dialectsOf(c.dialects) {
			statement := in(d, c.sql)
			got, ok := Simple(d, statement)
			if !ok || brief(got) != c.want {
				t.Errorf("Simple(%q, %q) =\n\t%s, %v\nwant\n\t%s", d, statement, brief(got), ok, c.want)
			}
		}
	}
}

func dialectsOf(list string) []string {
	if list == "" {
		return shapeDialects
	}
	return strings.Fields(list)
}

func TestStatementsThatAreNotSimple(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ reason, dialects, sql string }{
		{"no statement", "", ""},
		{"two statements", "", "SELECT a FROM t; DELETE FROM t"},
		{"no table", "", "SELECT 1"},
		{"no list", "", "SELECT FROM t"},
		{"table behind DISTINCT", "", "SELECT a FROM t WHERE DISTINCT FROM u"},
		{"empty item", "", "SELECT a,, b FROM t"},
		{"in parentheses", "", "(SELECT a FROM t)"},
		{"other verbs", "", "EXPLAIN SELECT a FROM t"},
		{"other verbs", "", "VALUES (1)"},
		{"other verbs", "", "REPLACE INTO t (a) VALUES (1)"},
		{"common table expression", "", "WITH x AS (SELECT 1) SELECT * FROM t"},
		{"common table expression", "", "WITH t AS (SELECT * FROM u) SELECT * FROM t"},
		{"broken text", "", "SELECT 'a FROM t"},
		{"broken text", "", "SELECT a FROM t WHERE (a = 1"},
		{"broken text", "", "SELECT a FROM t WHERE a = 1)"},
		{"not UTF-8", "", "SELECT a FROM t WHERE a = '\xff'"},
		{"NUL", "", "SELECT a FROM t WHERE a = '\x00'"},
		{"executable comment", "", "SELECT a FROM t /*! WHERE a = 1 */"},
		{"readings differ", "mysql", `SELECT * FROM t WHERE a = "b"`},
		{"readings differ", "mysql", `SELECT * FROM t WHERE a = 'x\' OR b = 1 OR c = '\'`},
		{"readings differ", "postgres", `SELECT * FROM t WHERE a = '\' AND b = ' OR c = 1 --'`},

		{"two tables", "", "SELECT * FROM t, u"},
		{"join", "", "SELECT * FROM t JOIN u ON t.a = u.a"},
		{"join", "", "SELECT * FROM t LEFT JOIN u USING (a)"},
		{"join", "", "SELECT * FROM t NATURAL JOIN u"},
		{"join", "", "SELECT * FROM t x CROSS JOIN u"},
		{"subquery", "", "SELECT * FROM (SELECT * FROM t) x"},
		{"subquery", "", "SELECT a, (SELECT max(b) FROM u) FROM t"},
		{"subquery", "", "SELECT * FROM t WHERE a IN (SELECT b FROM u)"},
		{"subquery", "", "SELECT * FROM t WHERE EXISTS (SELECT 1 FROM u)"},
		{"subquery", "", "SELECT * FROM t ORDER BY (SELECT max(b) FROM u)"},
		{"subquery", "", "SELECT * FROM t LIMIT (SELECT 1)"},
		{"subquery", "mysql postgres", "SELECT * FROM t WHERE a IN (TABLE u)"},
		{"subquery", "", "UPDATE t SET a = (SELECT b FROM u)"},
		{"subquery", "", "INSERT INTO t (a) VALUES ((SELECT b FROM u))"},
		{"subquery", "", "DELETE FROM t WHERE a = 1 RETURNING (SELECT b FROM u)"},
		{"subquery", "sqlite postgres", "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = (SELECT b FROM u)"},
		{"subquery", "sqlite postgres", "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 1 WHERE a IN (SELECT b FROM u)"},
		{"table after IN", "sqlite", "SELECT * FROM t WHERE a IN u"},
		{"table after IN", "sqlite", "SELECT * FROM t WHERE a NOT IN main.u"},
		{"compound", "", "SELECT a FROM t UNION SELECT a FROM u"},
		{"compound", "", "SELECT a FROM t WHERE a = 1 EXCEPT SELECT a FROM u"},
		{"compound", "", "SELECT a FROM t ORDER BY a INTERSECT SELECT a FROM u"},
		{"compound", "mysql", "SELECT a FROM t MINUS SELECT a FROM u"},
		{"sequence", "mysql", "SELECT a FROM t WHERE a = (NEXT VALUE FOR s)"},
		{"function of a table", "", "SELECT * FROM json_each('[1]')"},
		{"function that is not built in", "", "SELECT mine(a) FROM t"},
		{"function that is not built in", "", "DELETE FROM t WHERE mine(a) = 1"},
		{"function of a schema", "", "SELECT * FROM t WHERE my.lower(a) = 1"},
		{"table of another name", "", "SELECT u.a FROM t"},
		{"table of another name", "", "SELECT u.* FROM t"},
		{"table of another name", "", "SELECT t.a FROM t AS u"},
		{"table of another name", "", "SELECT r.t.a FROM s.t"},
		{"text for a name", "sqlite", "SELECT 't'.a FROM t"},
		{"text for a name", "sqlite", "SELECT a FROM 't'"},
		{"three components", "", "SELECT a FROM x.y.z"},
		{"hint", "mysql", "SELECT a FROM t USE INDEX (i)"},
		{"hint", "mysql", "SELECT a FROM t FORCE INDEX (i) WHERE a = 1"},
		{"hint", "sqlite", "SELECT a FROM t INDEXED BY i"},
		{"hint", "sqlite", "SELECT a FROM t NOT INDEXED"},
		{"hint", "mysql", "SELECT SQL_NO_CACHE a FROM t"},
		{"partition", "mysql", "SELECT a FROM t PARTITION (p)"},
		{"sample", "postgres", "SELECT a FROM t TABLESAMPLE system (1)"},
		{"ONLY", "postgres", "SELECT a FROM ONLY t"},
		{"ONLY", "postgres", "UPDATE ONLY t SET a = 1"},
		{"descendants", "postgres", "SELECT a FROM t * WHERE a = 1"},
		{"renamed columns", "postgres", "SELECT a FROM t AS x (a, b)"},
		{"history", "mysql", "SELECT a FROM t FOR SYSTEM_TIME ALL"},
		{"lock", "", "SELECT a FROM t WHERE a = 1 FOR UPDATE"},
		{"lock", "mysql", "SELECT a FROM t LOCK IN SHARE MODE"},
		{"into", "", "SELECT a INTO u FROM t"},
		{"into", "mysql", "SELECT a FROM t LIMIT 1 INTO OUTFILE 'x'"},
		{"window", "", "SELECT row_number() OVER (ORDER BY a) FROM t"},
		{"window", "", "SELECT a FROM t WINDOW w AS (ORDER BY b)"},
		{"distinct on", "postgres", "SELECT DISTINCT ON (a) b FROM t"},
		{"fetch", "postgres", "SELECT a FROM t ORDER BY a FETCH FIRST 1 ROW ONLY"},
		{"limit that is computed", "", "SELECT a FROM t LIMIT 1 + 1"},
		{"limit that is computed", "postgres", "SELECT a FROM t LIMIT ALL"},
		{"variable", "mysql", "SELECT a FROM t WHERE a = @x"},
		{"assignment", "mysql", "SELECT a FROM t WHERE a = 1 AND (@x := 1)"},
		{"ordinal", "", "SELECT a, b FROM t ORDER BY 1"},
		{"ordinal", "", "SELECT a, b FROM t ORDER BY b, (2) DESC"},
		{"ordinal", "", "SELECT a, b FROM t GROUP BY ?"},
		{"ordinal", "sqlite", "SELECT a, b FROM t ORDER BY 1 COLLATE nocase DESC"},
		{"ordinal", "sqlite", "SELECT a, b FROM t ORDER BY likely(1)"},
		{"ordinal", "postgres", "SELECT a, b FROM t GROUP BY (1, b)"},
		{"ordinal", "postgres", "SELECT a, b FROM t GROUP BY ROLLUP(1, b)"},
		{"ordinal", "postgres", "SELECT a, b FROM t GROUP BY GROUPING SETS ((1, b))"},
		{"rollup", "mysql", "SELECT a FROM t GROUP BY a WITH ROLLUP"},
		{"operator by name", "postgres", "SELECT a FROM t WHERE a OPERATOR(x.=) 1"},
		{"field of a row", "postgres", "SELECT (a).b FROM t"},
		{"column set", "postgres", "SELECT a FROM t WHERE (set = 1)"},
		{"column set", "postgres", "SELECT a FROM t WHERE a = 1 OR set"},
		{"column for", "sqlite", "SELECT a FROM t WHERE (for = 1)"},
		{"column returning", "mysql", "DELETE FROM t WHERE (returning = 1)"},
		{"column returning", "mysql", "DELETE FROM t WHERE a = 1 OR returning"},
		{"numbered parameter", "sqlite", "SELECT a FROM t WHERE a = ?2 AND b = ?1"},
		{"named parameter", "sqlite", "SELECT a FROM t WHERE a = :a"},
		{"named parameter", "sqlite", "SELECT a FROM t WHERE a = @a AND b = $b"},
		{"parameter of another dialect", "sqlite", "SELECT a FROM t WHERE a = $1"},
		{"word that starts with a digit", "", "SELECT a FROM t WHERE a = 1OR b = 2"},
		{"exponent", "", "SELECT a FROM t WHERE a = 1e5"},
		{"blank beyond ASCII", "", "SELECT a\u00a0FROM t"},

		{"select", "", "INSERT INTO t (a) SELECT a FROM u"},
		{"no columns", "", "INSERT INTO t VALUES (1, 2)"},
		{"rows of another length", "", "INSERT INTO t (a, b) VALUES (1, 2), (3)"},
		{"column twice", "", "INSERT INTO t (a, A) VALUES (1, 2)"},
		{"part of a column", "postgres", "INSERT INTO t (a[1]) VALUES (2)"},
		{"modifier", "", "INSERT OR REPLACE INTO t (a) VALUES (1)"},
		{"modifier", "mysql", "INSERT IGNORE INTO t (a) VALUES (1)"},
		{"modifier", "mysql", "INSERT INTO t SET a = 1"},
		{"overriding", "postgres", "INSERT INTO t (a) OVERRIDING SYSTEM VALUE VALUES (1)"},
		{"alias of the new row", "mysql", "INSERT INTO t (a) VALUES (1) AS n ON DUPLICATE KEY UPDATE a = n.a"},
		{"two conflict clauses", "sqlite", "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO NOTHING ON CONFLICT DO UPDATE SET a = 1"},
		{"constraint", "postgres", "INSERT INTO t (a) VALUES (1) ON CONFLICT ON CONSTRAINT k DO NOTHING"},
		{"expression in the target", "postgres", "INSERT INTO t (a) VALUES (1) ON CONFLICT (lower(a)) DO NOTHING"},
		{"VALUES() elsewhere", "mysql", "UPDATE t SET a = VALUES(a)"},
		{"modifier", "", "UPDATE OR IGNORE t SET a = 1"},
		{"modifier", "mysql", "UPDATE IGNORE t SET a = 1"},
		{"modifier", "mysql", "DELETE QUICK FROM t"},
		{"several tables", "", "UPDATE t SET a = u.a FROM u"},
		{"several tables", "mysql", "UPDATE t, u SET t.a = 1"},
		{"several tables", "mysql", "UPDATE t JOIN u ON t.a = u.a SET t.a = 1"},
		{"several tables", "mysql", "DELETE t FROM t JOIN u ON t.a = u.a"},
		{"several tables", "", "DELETE FROM t USING u WHERE t.a = u.a"},
		{"several tables", "mysql", "UPDATE t SET u.a = 1"},
		{"limit", "", "UPDATE t SET a = 1 ORDER BY b LIMIT 1"},
		{"limit", "", "DELETE FROM t WHERE a = 1 ORDER BY b LIMIT 1"},
		{"tuple", "", "UPDATE t SET (a, b) = (1, 2)"},
		{"part of a column", "postgres", "UPDATE t SET a[1] = 2"},
		{"field of a column", "postgres", "UPDATE t SET t.a = 2"},
		{"column twice", "", "UPDATE t SET a = 1, A = 2"},
		{"nothing set", "", "UPDATE t SET WHERE a = 1"},
		{"nothing set", "", "UPDATE t SET a ="},
		{"portion", "mysql", "DELETE FROM t FOR PORTION OF p FROM 1 TO 2"},
		{"deeper than it is worth", "", "SELECT " + strings.Repeat("(", 200) + "a" + strings.Repeat(")", 200) + " FROM t"},
	} {
		for _, d := range dialectsOf(c.dialects) {
			if got, ok := Simple(d, in(d, c.sql)); ok {
				t.Errorf("Simple(%q, %q) = %s, want none: %s", d, c.sql, brief(got), c.reason)
			} else if !reflect.DeepEqual(got, Shape{}) {
				t.Errorf("Simple(%q, %q) is false and not empty: %s", d, c.sql, brief(got))
			}
		}
	}
	if got, ok := Simple(postgres, "SELECT a FROM t WHERE a ? 'x'"); ok {
		t.Errorf("an operator counts as a bind value: %s", brief(got))
	}
	for _, d := range []string{sqlserver, "clickhouse", ""} {
		if _, ok := Simple(d, "SELECT a FROM t"); ok {
			t.Errorf("Simple(%q) understands a dialect whose grammar is not known", d)
		}
	}
}

func TestShapeKeepsQuotes(t *testing.T) {
	t.Parallel()
	got, ok := Simple(postgres, `UPDATE public."T" SET "A" = 1, B = 2 WHERE "C" = 3 AND D = 4`)
	quoted := []bool{got.Table.Quoted, got.Set[0].Column.Quoted, got.Set[1].Column.Quoted, got.Filter[0].Quoted, got.Filter[1].Quoted}
	if !ok || !slices.Equal(quoted, []bool{true, true, false, true, false}) || got.Table.Name != "public.T" {
		t.Errorf("got %+v, %v", got, ok)
	}
}

// A word that counts as syntax must not be a column that is written without quotes.
func TestSyntaxIsNoColumnOfSQLite(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, set := range []wordSet{keywords, dialectKeywords[sqlite], clauses} {
		for word := range set {
			if forbidden.has(word) {
				continue
			}
			if _, err := db.Exec("CREATE TEMP TABLE x (" + word + " INT)"); err == nil {
				t.Errorf("%s can be a column", word)
				if _, err := db.Exec("DROP TABLE x"); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// TestJoined: what is said of the first table of several, and what is none of it.
func TestJoined(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ dialects, sql, want string }{
		{"", "SELECT `t`.`id`,`U`.`id` AS `U__id` FROM `t` LEFT JOIN `us` `U` ON `t`.`u_id` = `U`.`id` AND `U`.`gone` = 1 WHERE `t`.`id` = ? ORDER BY `t`.`id` LIMIT 1",
			"select t list(id) alias(U__id) pins(id=?1) filter(u_id id) order(id) ordered limited"},
		{"", "SELECT t.id FROM t JOIN u ON u.t_id = t.id AND u.a = ? WHERE t.b IN (?,?) AND u.c = 5", "select t list(id) pins(b=?2|?3) filter(id b)"},
		{"", "SELECT t.id FROM t INNER JOIN u ON u.t_id = t.id LEFT OUTER JOIN v AS w ON w.id = u.v_id WHERE w.id = 1 ORDER BY w.a, t.c", "select t list(id) filter(id) order(c) ordered"},
		{"", "SELECT t.id FROM t JOIN u ON u.t_id = t.id ORDER BY u.a DESC", "select t list(id) filter(id) ordered"},
		// A name may be that of a column of either table: that of none of the first one's counts
		// as all of it.
		{"", "SELECT t.id FROM t JOIN u ON t_id = id WHERE a = 5", "select t list(id) filter(t_id id a)"},
		{"", "SELECT id FROM t JOIN u ON u.a = t.a", "select t list(id) filter(a) computed"},
		{"", "SELECT t.id, u.id FROM t JOIN u ON u.a = t.a", "select t list(id) filter(a) computed"},
		{"", "SELECT * FROM t JOIN u ON u.a = t.a", "select t filter(a) star computed"},
		{"", "SELECT t.*, u.a AS b FROM t JOIN u ON u.a = t.a", "select t alias(b) filter(a) star"},
		{"", "SELECT t.*, u.* FROM t JOIN u ON u.a = t.a", "select t filter(a) star computed"},
		{"", "SELECT SUM(t.a * u.b) FROM t JOIN u ON u.a = t.a WHERE t.c = ?", "select t list(a) pins(c=?1) filter(a c) computed aggregate"},
		{"", "SELECT x.id FROM t x JOIN u ON u.t_id = x.id WHERE x.a = 1", "select t list(id) pins(a=1) filter(id a)"},
		{"", "SELECT t.a AS b FROM t JOIN u ON u.a = t.a", "select t list(a) alias(b) filter(a)"},
	} {
		for _, d := range []string{"sqlite", "mysql", "postgres"} {
			if !strings.Contains(test.dialects, d) && test.dialects != "" {
				continue
			}
			got, ok := Joined(d, in(d, test.sql))
			if !ok || brief(got) != test.want {
				t.Errorf("Joined(%q, %q) =\n\t%s, %v\nwant\n\t%s", d, test.sql, brief(got), ok, test.want)
			}
			if _, ok := Simple(d, in(d, test.sql)); ok {
				t.Errorf("Simple(%q, %q) takes several tables for one", d, test.sql)
			}
		}
	}
	for _, sql := range []string{
		"SELECT t.id FROM t",
		"SELECT t.id FROM t RIGHT JOIN u ON u.a = t.a",
		"SELECT t.id FROM t FULL JOIN u ON u.a = t.a",
		"SELECT t.id FROM t FULL OUTER JOIN u ON u.a = t.a",
		"SELECT t.id FROM t LEFT JOIN u ON u.a = t.a RIGHT JOIN v ON v.a = t.a",
		"SELECT t.id FROM t LEFT JOIN u ON u.a = t.a FULL JOIN v ON v.a = t.a",
		"SELECT t.id FROM t NATURAL JOIN u",
		"SELECT t.id FROM t CROSS JOIN u",
		"SELECT t.id FROM t JOIN u USING (a)",
		"SELECT t.id FROM t, u JOIN v ON v.a = u.a",
		"SELECT t.id FROM t JOIN u ON u.a = t.a, v",
		"SELECT t.id FROM t JOIN t ON t.a = t.a",
		"SELECT t.id FROM t JOIN t x ON x.a = t.a",
		"SELECT t.id FROM t x JOIN u t ON t.a = x.a",
		"SELECT t.id FROM t JOIN u ON u.a = t.a JOIN v u ON u.a = t.a",
		"SELECT t.id FROM t JOIN (SELECT a FROM u) v ON v.a = t.a",
		"SELECT t.id FROM t JOIN u ON u.a = (SELECT max(a) FROM v)",
		"SELECT t.id FROM t JOIN u ON u.a = t.a WHERE w.a = 1",
		"SELECT t.id FROM t JOIN u JOIN v ON v.a = u.a ON u.a = t.a",
		"SELECT t.id FROM t JOIN u ON u.a = t.a UNION SELECT 1",
		"UPDATE t JOIN u ON u.a = t.a SET t.b = 1",
		"DELETE FROM t JOIN u ON u.a = t.a",
	} {
		for _, d := range []string{"sqlite", "mysql", "postgres"} {
			if got, ok := Joined(d, sql); ok {
				t.Errorf("Joined(%q, %q) = %s, want none", d, sql, brief(got))
			}
		}
	}
	renamed, _ := Joined("sqlite", "SELECT t.a AS b, u.c AS d FROM t JOIN u ON u.a = t.a")
	others, _ := Joined("sqlite", "SELECT t.a, u.c AS d FROM t JOIN u ON u.a = t.a")
	if simple, _ := Simple("sqlite", "SELECT a AS b FROM t"); !renamed.Renamed || others.Renamed || !simple.Renamed {
		t.Error("it is not told which aliases are of columns of other tables")
	}
	if len(others.Joined) != 1 || others.Joined[0].Name != "u" {
		t.Errorf("joined are %v, want u", others.Joined)
	}
}

func FuzzSimple(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	for _, c := range accepted {
		f.Add(c.sql)
	}
	f.Fuzz(func(t *testing.T, s string) {
		defer mustEnd(s)()
		for _, d := range shapeDialects {
			got, ok := Simple(d, s)
			if !ok {
				continue
			}
			for _, row := range got.Rows {
				if len(row) != len(got.Columns) {
					t.Errorf("%s %q: %d values for %d columns", d, s, len(row), len(got.Columns))
				}
			}
			for _, pin := range got.Pins {
				for _, name := range pin.Columns {
					if !slices.Contains(got.Filter, name) {
						t.Errorf("%s %q: the filter lacks the pinned %q", d, s, name.Text)
					}
				}
				for _, v := range pin.Values {
					if len(v) != len(pin.Columns) {
						t.Errorf("%s %q: %d values for %d columns", d, s, len(v), len(pin.Columns))
					}
				}
			}
			// What is simple touches one table, and that is the one that Analyze finds.
			query := Analyze(d, s)
			if query.Unknown != "" || got.Verb == Select && !slices.Equal(query.References, []Reference{got.Table}) {
				t.Errorf("%s %q: the table %v, Analyze found %v, unknown %q", d, s, got.Table, query.References, query.Unknown)
			}
		}
	})
}
