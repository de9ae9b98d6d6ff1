package collation

import (
	"math"
	"strconv"
	"strings"

	"github.com/gorm-preload/preload/internal/asked"
)

// Tables are those that were asked about.
type Tables struct {
	// said is what the database said of each, as question has it.
	said  asked.Names[string]
	learn func(table string, columns map[string]int, still func() bool)
}

// New returns tables of which nothing is known. learn is called with what the database said of one:
// how many characters of ASCII each column of text holds at most whose collation is in the list.
// still reports whether that is so.
func New(config asked.Config, learn func(table string, columns map[string]int, still func() bool)) *Tables {
	return &Tables{said: asked.Names[string]{Config: config}, learn: learn}
}

// Want has the database asked in the background about a table, unless it was.
func (ts *Tables) Want(table string) {
	ts.said.Want(table, question, func(said string, moment int64) {
		ts.learn(table, columnsOf(said), func() bool {
			now, settled := ts.said.Settled()
			return settled && now == moment
		})
	}, table, table, table)
}

// columnsOf reads what the database said.
func columnsOf(said string) map[string]int {
	columns := map[string]int{}
	for {
		one, rest, whole := strings.Cut(said, ",")
		if !whole {
			return columns // the database may have cut it off
		}
		said = rest
		name, length, _ := strings.Cut(one, " ")
		if n, err := strconv.ParseUint(length, 10, 64); err == nil && n > 0 {
			columns[name] = int(min(n, math.MaxInt32))
		}
	}
}

// question asks for the columns of an ordinary table that are of text, and by whose collations
// texts are told apart, as "name length,name length,". Other engines than these may have another
// server compare. What a client of another character set sends is converted before it is compared.
var question = `SELECT coalesce(group_concat(concat(c.COLUMN_NAME, ' ', c.CHARACTER_MAXIMUM_LENGTH, ',') ORDER BY c.ORDINAL_POSITION SEPARATOR ''), '')
	FROM information_schema.COLUMNS c
	WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = ? AND BINARY c.TABLE_NAME = ?
	AND c.DATA_TYPE IN ('char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext') AND coalesce(c.GENERATION_EXPRESSION, '') = ''
	AND c.COLUMN_NAME REGEXP '^[A-Za-z_][A-Za-z0-9_]*$'
	AND c.COLLATION_NAME IN ('` + strings.Join(Known(), "', '") + `')
	AND @@character_set_client IN ('utf8mb4', 'utf8mb3', 'utf8', 'latin1', 'ascii', 'binary')
	AND EXISTS (SELECT 1 FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_NAME = ?
		AND BINARY t.TABLE_NAME = c.TABLE_NAME AND t.TABLE_TYPE = 'BASE TABLE' AND t.ENGINE IN ('InnoDB', 'MyISAM', 'Aria'))`

// known are the collations by which texts are told apart, by their character sets.
var known = []struct{ sets, collations string }{
	{"utf8mb4 utf8mb3 utf8", `general_ci general_nopad_ci unicode_ci unicode_nopad_ci unicode_520_ci unicode_520_nopad_ci bin nopad_bin
		uca1400_ai_ci uca1400_ai_cs uca1400_as_ci uca1400_as_cs
		uca1400_nopad_ai_ci uca1400_nopad_ai_cs uca1400_nopad_as_ci uca1400_nopad_as_cs`},
	{"utf8mb3 utf8", "general_mysql500_ci"},
	{"utf8mb4", "0900_ai_ci 0900_as_ci 0900_as_cs 0900_bin"},
	{"latin1", "swedish_ci swedish_nopad_ci general_ci general_cs bin nopad_bin"},
	{"ascii", "general_ci general_nopad_ci bin nopad_bin"},
}

// Known returns the names of the collations by which texts are told apart.
func Known() (names []string) {
	for _, of := range known {
		for _, set := range strings.Fields(of.sets) {
			for _, collation := range strings.Fields(of.collations) {
				names = append(names, set+"_"+collation)
			}
		}
	}
	return names
}
