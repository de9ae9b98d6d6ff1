package seen

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestUnservedStaysBounded: an application that puts values into its texts, and one that asks ever
// new statements.
func TestUnservedStaysBounded(t *testing.T) {
	t.Parallel()
	u, looked := Unserved{}, 0
	plain := func(text string) string {
		looked++
		return strings.TrimRight(text, "0123456789")
	}
	for i := range 10_000 {
		u.Record("raw SQL", fmt.Sprint("select ", i), time.Millisecond, plain)
	}
	rows := u.Rows(1_000)
	count := int64(0)
	for _, row := range rows {
		count += row.Count
	}
	if len(rows) > 2 || count != 10_000 || looked > 10*maxFresh {
		t.Errorf("%d of 10000 reads in %d rows, of %d texts that were taken apart", count, len(rows), looked)
	}
	u.Clear()
	for i := range 10_000 {
		u.since = time.Time{} // no bound by the second
		u.Record("rows", fmt.Sprint("select ", i, " from t"), time.Duration(i)*time.Millisecond, func(text string) string { return text })
	}
	rows = u.Rows(1_000)
	count = 0
	for _, row := range rows {
		count += row.Count
	}
	if len(rows) > maxUnserved+1 || count != 10_000 {
		t.Errorf("%d of 10000 reads in %d rows", count, len(rows))
	}
	if rows[0].SQL != "" || rows[1].SQL != "select 9999 from t" {
		t.Errorf("first come %q and %q: want the others, and what took most", rows[0].SQL, rows[1].SQL)
	}
	if len(u.known) > maxKnown || u.Bytes() > 1<<20 || len(u.Rows(3)) != 3 || len(u.Rows(-1)) != 0 {
		t.Errorf("%d texts are known, %d bytes", len(u.known), u.Bytes())
	}
}
