package collation

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gorm-preload/preload/internal/dbtest"
)

// TestKnownCollationsTellTextsOfPrintableASCIIApart, but for case and blanks at the end: all texts
// of one and two characters, and longer ones because the weights of a text are those of its
// characters, one by one: nothing is ignored, and no two characters, nor three small letters, weigh
// anything else together than alone.
func TestKnownCollationsTellTextsOfPrintableASCIIApart(t *testing.T) {
	t.Parallel()
	conn := serverOf(t)
	tested := 0
	for _, name := range Known() {
		if !conn.has(name) || strings.HasPrefix(name, "utf8_") && conn.has("utf8mb3"+strings.TrimPrefix(name, "utf8")) {
			continue // such as what is only another name
		}
		tested++
		if found := conn.confuses(name); len(found) > 0 {
			t.Errorf("%s takes for equal %q", name, found)
		}
	}
	if tested < 20 {
		t.Errorf("%d collations were tested: the test tests too little", tested)
	}
}

// TestLanguagesOfTheirOwnAreFoundOut: what the test above looks for is there to be found.
func TestLanguagesOfTheirOwnAreFoundOut(t *testing.T) {
	t.Parallel()
	conn := serverOf(t)
	for _, name := range []string{
		"utf8mb4_czech_ci", "utf8mb4_danish_ci", "utf8mb4_croatian_ci", "utf8mb4_spanish2_ci", "utf8mb4_hungarian_ci", "utf8mb4_lithuanian_ci",
		"utf8mb4_roman_ci", "utf8mb4_estonian_ci", "latin1_german2_ci",
	} {
		if !conn.has(name) {
			continue
		}
		if slices.Contains(Known(), name) {
			t.Errorf("%s counts as known", name)
		}
		t.Logf("%s takes for equal, or weighs together, %q", name, conn.confuses(name))
	}
	if found := conn.confuses("utf8mb4_czech_ci"); len(found) == 0 {
		t.Error("ch is one letter of Czech, but nobody noticed")
	}
	if found := conn.confuses("utf8mb4_roman_ci"); len(found) == 0 {
		t.Error("i and j are one letter of Latin, but nobody noticed")
	}
}

// server is a connection in a database of the test's own.
type server struct {
	*sql.Conn
	t *testing.T
}

func serverOf(t *testing.T) *server {
	t.Helper()
	db := dbtest.MySQL(t).Pool(t)
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &server{conn, t}
}

func (s *server) exec(query string) {
	s.t.Helper()
	if _, err := s.ExecContext(context.Background(), query); err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
}

func (s *server) has(collation string) bool {
	s.t.Helper()
	set, _, _ := strings.Cut(collation, "_")
	_, err := s.ExecContext(context.Background(), fmt.Sprintf("SELECT CONVERT('a' USING %s) COLLATE %s", set, collation))
	return err == nil
}

// found returns the texts that a query finds, not many of them.
func (s *server) found(query string) (texts []string) {
	s.t.Helper()
	rows, err := s.QueryContext(context.Background(), query+" LIMIT 5")
	if err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			s.t.Fatal(err)
		}
		texts = append(texts, text)
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return texts
}

// confuses returns texts that a collation takes for equal, though they differ beyond case and
// blanks at the end, and such as do not weigh what their characters do.
func (s *server) confuses(collation string) (texts []string) {
	s.t.Helper()
	set, _, _ := strings.Cut(collation, "_")
	s.exec("DROP TABLE IF EXISTS chars, texts")
	s.exec(fmt.Sprintf("CREATE TABLE chars (c varchar(1) CHARACTER SET %s COLLATE %s, w varbinary(40))", set, collation))
	for c := byte(' '); c <= '~'; c++ {
		s.exec(fmt.Sprintf("INSERT INTO chars (c) VALUES (CHAR(%d))", c))
	}
	// How long the weight of a character is, without those that come behind the weights of all.
	size := 2
	switch {
	case set == "latin1" || set == "ascii" || collation == "utf8mb4_0900_bin":
		size = 1
	case set == "utf8mb4" && strings.HasSuffix(collation, "_bin"):
		size = 3
	}
	s.exec(fmt.Sprintf("UPDATE chars SET w = LEFT(WEIGHT_STRING(c), %d)", size))
	texts = append(texts, s.found(fmt.Sprintf("SELECT c FROM chars WHERE LENGTH(w) <> %d", size))...)
	texts = append(texts, s.found(`SELECT concat(a.c, b.c) FROM chars a JOIN chars b ON a.w = b.w WHERE BINARY lower(a.c) <> BINARY lower(b.c)`)...)
	weighs := func(text, weight, from string, n int) {
		texts = append(texts, s.found(fmt.Sprintf("SELECT %s FROM %s WHERE LEFT(WEIGHT_STRING(%s), %d) <> %s", text, from, text, n*size, weight))...)
	}
	const small = "(SELECT * FROM chars WHERE c REGEXP BINARY '[a-z0 -]') "
	weighs("concat(a.c, b.c)", "concat(a.w, b.w)", "chars a, chars b", 2)
	weighs("concat(a.c, b.c, d.c)", "concat(a.w, b.w, d.w)", small+"a, "+small+"b, "+small+"d", 3)
	s.exec(fmt.Sprintf("CREATE TABLE texts (c varchar(2) CHARACTER SET %s COLLATE %s, folded varbinary(2)) SELECT c FROM chars UNION ALL "+
		"SELECT concat(a.c, b.c) c FROM chars a, chars b UNION ALL SELECT ''", set, collation))
	s.exec("UPDATE texts SET folded = lower(rtrim(c))")
	return append(texts, s.found("SELECT min(c) FROM texts GROUP BY c HAVING min(folded) <> max(folded)")...)
}
