package sqltext

import (
	"slices"
	"testing"
)

// With which bind values a condition only loses rows as they grow.
func TestFalling(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sql    string
		column string
		param  int // 0 if there is none
	}{
		{"SELECT * FROM t WHERE expires > $1", "expires", 1},
		{"SELECT * FROM t WHERE expires >= $1", "expires", 1},
		{`SELECT * FROM "t" WHERE "t"."expires" > $1`, "expires", 1},
		{"SELECT * FROM t WHERE token = $1 AND (expires IS NULL OR expires > $2) LIMIT $3", "expires", 2},
		{"SELECT * FROM t WHERE (token = $1 AND (NOT done OR expires > $2)) AND n = $3", "expires", 2},
		{"SELECT * FROM t WHERE token = $1 OR expires > $2 AND n = $3", "expires", 2},
		{"SELECT * FROM t WHERE NOT expires > $1", "", 0},
		{"SELECT * FROM t WHERE NOT (expires > $1)", "", 0},
		{"SELECT * FROM t WHERE n = $1 AND NOT (n = $1 OR expires > $2)", "", 0},
		{"SELECT * FROM t WHERE (expires > $1) = false", "", 0},
		{"SELECT * FROM t WHERE (expires > $1) IS NULL", "", 0},
		{"SELECT * FROM t WHERE expires < $1", "", 0},
		{"SELECT * FROM t WHERE $1 > expires", "", 0},
		{"SELECT * FROM t WHERE expires > $1 AND starts < $1", "", 0},
		{"SELECT * FROM t WHERE expires > $1 ORDER BY starts < $1", "", 0},
		{"SELECT * FROM t WHERE expires > $1 + 1", "", 0},
		{"SELECT * FROM t WHERE expires + 1 > $1", "", 0},
		{"SELECT * FROM t WHERE date(expires) > $1", "", 0},
		{"SELECT * FROM t WHERE n BETWEEN 1 AND expires > $1", "", 0},
		{"SELECT * FROM t WHERE CASE WHEN expires > $1 THEN true ELSE false END", "", 0},
		{"SELECT * FROM t WHERE expires > $1 COLLATE x", "", 0},
		{"SELECT * FROM t WHERE expires > ALL($1)", "", 0},
		{"SELECT * FROM t WHERE expires <> $1", "", 0},
		{"SELECT * FROM t WHERE expires >> $1", "", 0},
		{"SELECT * FROM t WHERE expires > - $1", "", 0},
		{"SELECT * FROM t WHERE n = 1 IS TRUE AND x > y > $1", "", 0},
	} {
		s, ok := Simple(postgres, c.sql)
		var got Falling
		if ok && len(s.Falling) == 1 {
			got = s.Falling[0]
		}
		if got.Param != c.param || got.Column.Text != c.column {
			t.Errorf("%s: %v of a simple one (%t), want %s, %d", c.sql, s.Falling, ok, c.column, c.param)
		}
	}
}

// With which bind values a condition only gains rows as they grow.
func TestRising(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sql  string
		want []Rising
	}{
		{"SELECT * FROM t WHERE starts <= $1", []Rising{{Name{Text: "starts"}, 1, true}}},
		{`SELECT * FROM t WHERE "t"."starts" < $1`, []Rising{{Name{Text: "starts", Quoted: true}, 1, false}}},
		{"SELECT * FROM t WHERE starts <= $1 AND ends > $2 AND n IN ($3,$4)", []Rising{{Name{Text: "starts"}, 1, true}}},
		{"SELECT * FROM t WHERE n IN ($1,$2) AND (starts < $3 OR starts IS NULL)", []Rising{{Name{Text: "starts"}, 3, false}}},
		{"SELECT * FROM t WHERE a < $1 AND b <= $2", []Rising{{Name{Text: "a"}, 1, false}, {Name{Text: "b"}, 2, true}}},
		{"SELECT * FROM t WHERE NOT starts <= $1", nil},
		{"SELECT * FROM t WHERE NOT (starts <= $1)", nil},
		{"SELECT * FROM t WHERE (starts <= $1) IS NULL", nil},
		{"SELECT * FROM t WHERE starts <> $1", nil},
		{"SELECT * FROM t WHERE starts << $1", nil},
		{"SELECT * FROM t WHERE starts <@ $1", nil},
		{"SELECT * FROM t WHERE starts < - $1", nil},
		{"SELECT * FROM t WHERE starts < = $1", nil},
		{"SELECT * FROM t WHERE starts <= $1 AND ends > $1", nil},
		{"SELECT * FROM t WHERE starts <= $1 + 1", nil},
		{"SELECT * FROM t WHERE $1 < starts", nil},
		{"SELECT * FROM t WHERE starts <= ANY($1)", nil},
		{"SELECT * FROM t WHERE n < starts < $1", nil},
		{"SELECT * FROM t WHERE date(starts) <= $1", nil},
		{"SELECT * FROM t WHERE n BETWEEN 1 AND starts <= $1", nil},
	} {
		short := Shorten(postgres, c.sql)
		s, _ := Simple(postgres, c.sql)
		if !slices.Equal(s.Rising, c.want) {
			t.Errorf("%s: %v, want %v", c.sql, s.Rising, c.want)
		}
		if of, ok := Simple(postgres, short.Text); ok && !slices.Equal(short.Of(&of).Rising, c.want) {
			t.Errorf("%s: %v by its short text, want %v", c.sql, short.Of(&of).Rising, c.want)
		}
	}
}
