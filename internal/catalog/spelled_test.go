package catalog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
)

type spelledRow struct {
	ID   int
	Text string
}

// spellings are texts by type of PostgreSQL, in columns that a model calls a string and no more.
var spellings = map[string][]string{
	"text":          {"a", "A", "a ", " 7", "7", "07"},
	"citext":        {"a", "A", "Ab@C.de", "ab@c.DE"},
	"char(40)":      {"a", "a  "},
	"uuid":          {"{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11", "12345678123456781234567812345678", "12345678-1234-5678-1234-567812345678"},
	"integer":       {"7", "07", "+7", " 7 ", "-7", "0x7", "0b111", "0o7", "1_000", "1000"},
	"numeric":       {"1.5", "1.50", "15e-1", "1.5" + strings.Repeat("0", 60), "inf", "Infinity", "0.01", "1e-2", "NaN", "nan", "1000", "1e3", "1_000"},
	"numeric(10,2)": {"0.12", "0.123", "0.1249", "12e-2", "0.13"},
	"real":          {"0.1", "0.10000000149", "1e-1", "7", "7.0"},
	"boolean":       {"t", "tr", "true", "TRUE", "y", "yes", "on", "1", "f", "false", "no", "off", "0", "of"},
	"time":          {"09:00", "09:00:00", "09:00 AM", "9 am", "0900", "090000", "1200", "120000", "12:00", "T09:00", "t0900", "allballs", "00:00", "24:00"},
	"timetz":        {"09:00+00", "09:00 UTC", "09:00Z", "0900z", "10:00+01"},
	"date": {
		"2024-01-02", "20240102", "240102", "24002", "Jan 2 2024", "2 January 2024", "1/2/2024", "2-Jan-2024", "2024.002", "J2460312", "j2460312", "January 2, 2024", "2024-Jan-02", "Tuesday Jan 2 2024", "20240102T000000", "epoch", "1970-01-01", "infinity", "today", "now",
	},
	"timestamp":   {"2024-01-02 03:04:05", "20240102T030405", "2024-01-02T03:04:05", "Tue Jan 2 03:04:05 2024", "Jan 2 2024 3:04:05", "20240102 030405", "2024-01-02 03:04:05.000"},
	"timestamptz": {"2024-01-02 03:04:05Z", "2024-01-02 04:04:05+01", "20240102T030405Z", "Tue Jan 2 03:04:05 2024 UTC"},
	"interval":    {"1 day", "24:00:00", "1d", "1 days", "24 hours", "24h", "P1D", "PT24H", "@ 1 day", "1440m", "86400", "86400 s", "1 day ago", "-1 day", "-24:00"},
	"inet":        {"::1", "0:0:0:0:0:0:0:1", "10.0.0.1", "10.0.0.1/32", "fe80::1", "FE80:0::1", "::ffff:1.2.3.4", "::ffff:102:304"},
	"cidr":        {"10", "10.0.0.0/8", "10/8", "10.0/8"},
	"macaddr":     {"08:00:2b:01:02:03", "08002b010203", "08-00-2b-01-02-03", "0800.2b01.0203", "08002b:010203", "080020010203", "08:00:20:01:02:03", "abcdefabcdef", "ab:cd:ef:ab:cd:ef"},
	"macaddr8":    {"08:00:2b:01:02:03:04:05", "08002b0102030405", "08002b01:02030405"},
	"jsonb":       {`{"a":1,"b":2}`, `{"b": 2, "a": 1}`, "1", "1.0", " 1", "null", " null ", `"a"`, "true"},
	"bytea":       {"a", `\x61`, "ab", `\x6162`, `a\\`, `\x615c`, `\141`},
	"money":       {"1", "$1.00", "1.00", "$1", "($1)", "-1"},
	"int4range":   {"[1,3]", "[1,4)", "empty", "[1,1)", " [1,4) "},
	"int[]":       {"{1,2}", "{ 1, 2 }", "[1:2]={1,2}"},
	"bit(3)":      {"101", "b101", "B101", "x5"},
	"varbit":      {"0101", "x5", "X5", "b0101"},
	"pg_lsn":      {"0/16B", "0/016B", "A/1", "0A/01"},
	"oid":         {"7", "07"},
	"hstore":      {"a=>1,b=>2", "b=>2, a=>1", `"a"=>1,"b"=>2`},
}

// TestTextsInColumnsOfOtherTypes: of two spellings that PostgreSQL takes for one value, one is not
// known or they are the same.
func TestTextsInColumnsOfOtherTypes(t *testing.T) {
	t.Parallel()
	db := dbtest.Postgres(t).Plain(t)
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(&spelledRow{}); err != nil {
		t.Fatal(err)
	}
	col := newColumn("postgres", stmt.Schema.LookUpField("Text")).AsRead()
	found := 0
	for kind, texts := range spellings {
		for _, extension := range []string{"citext", "hstore"} {
			if kind == extension && db.Exec("CREATE EXTENSION IF NOT EXISTS "+extension).Error != nil {
				texts = nil
				t.Logf("skipped: there is no %s here", extension)
			}
		}
		for _, a := range texts {
			for _, b := range texts {
				var same bool
				// Spelled as the server reads texts that are given for values.
				query := fmt.Sprintf("SELECT (CAST('%s' AS text)::%s)::text = (CAST('%s' AS text)::%s)::text", a, kind, b, kind)
				if kind == "citext" || kind == "jsonb" || kind == "char(40)" || kind == "inet" || kind == "interval" || kind == "timetz" || strings.HasPrefix(kind, "numeric") || kind == "real" {
					query = fmt.Sprintf("SELECT CAST('%s' AS text)::%s = CAST('%s' AS text)::%s", a, kind, b, kind)
				}
				if db.Raw(query).Scan(&same).Error != nil || !same || a == b {
					continue
				}
				found++
				if x, y := col.Value(a), col.Value(b); x != "" && y != "" && x != y {
					t.Errorf("%s: %q is %q, and they are %q and %q", kind, a, b, x, y)
				}
			}
		}
	}
	if found < 150 {
		t.Errorf("%d pairs of spellings: the test tests too little", found)
	}
}

// TestTextsThatAreUsualAreKnown: names, addresses, codes, digests and the like stay apart.
func TestTextsThatAreUsualAreKnown(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "anna", "Martin", "anna@example.com", "user-12", "user 12", "A-17", "4711-A", "3rd street", "https://example.com/a", "/home/anna", "#tag", "~", "ä", "日本",
		"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "0c0ffee0-9c0b-4ef8-bb6d-6bb9bd380a11", "da39a3ee5e6b4b0d3255bfef95601890afd80709", "0000000000000000000000000000000000000001",
		"01ARZ3NDEKTSV4RRFFQ69G5FAV", "7", "-7", "0049123456", "123456", "12345678", "qq", "key:anna", "post", "tom", "job", "box",
	} {
		if !spelledOneWay(s) {
			t.Errorf("%q is not known", s)
		}
	}
}
