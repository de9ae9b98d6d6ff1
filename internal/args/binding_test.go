package args

import (
	"database/sql/driver"
	"math"
	"reflect"
	"testing"
	"time"
)

type decodeID int64

func TestBindValuesAreReadOffAKey(t *testing.T) {
	t.Parallel()
	encode := func(vars ...any) string {
		text := NewText()
		defer text.Free()
		for _, v := range vars {
			if !text.Add(v) {
				t.Fatalf("%#v has no form in keys", v)
			}
		}
		return string(text.Bytes)
	}
	zone := time.FixedZone("", 3600)
	for _, vars := range [][]any{
		{1}, {-5, uint64(math.MaxUint64)}, {"a;b:c", ""}, {nil}, {true, false}, {1.5, float32(1.5)}, {math.Inf(1)},
		{[]byte{0, ';', 1}, []byte{}}, {[]byte(nil)}, {time.Date(2024, 2, 3, 4, 5, 6, 7, zone)}, {time.Date(1900, 1, 2, 3, 4, 5, 0, time.UTC)},
		{time.Date(2024, 2, 3, 4, 5, 6, 7, time.FixedZone("CET", 3600)), time.Date(2024, 2, 3, 4, 5, 6, 7, time.FixedZone("GMT", 0))},
		{time.Date(2024, 2, 3, 4, 5, 6, 7, time.FixedZone("", 0)), time.Date(2024, 2, 3, 4, 5, 6, 7, time.FixedZone("a,b@", -60))},
		{decodeID(7), 7}, {"x", decodeID(-1), time.Second}, {},
	} {
		text := encode(vars...)
		b := BindingOf(text, append(append([]any{}, vars...), 1))
		if b == nil {
			t.Errorf("%#v: not told from %q", vars, text)
			continue
		}
		got, ok := b.Vars(text)
		if !ok || encode(got...) != text+"i1;" {
			t.Errorf("%#v: read off %q: %#v, %v", vars, text, got, ok)
			continue
		}
		for i, v := range vars {
			// What has a name keeps it; others are as database/sql passes them.
			want, err := driver.DefaultParameterConverter.ConvertValue(v)
			if _, named := v.(decodeID); named {
				want, err = v, nil
			}
			have := got[i]
			if at, ok := have.(time.Time); ok && at.Equal(v.(time.Time)) && at.String() == v.(time.Time).String() {
				continue
			}
			if _, ok := v.(float32); ok {
				want = v
			}
			if _, ok := v.(time.Duration); ok {
				want = v
			}
			if u, ok := v.(uint64); ok && u > math.MaxInt64 {
				want, err = v, nil // database/sql leaves it to the driver
			}
			if err != nil || !reflect.DeepEqual(have, want) {
				t.Errorf("%#v: arg %d is %#v, want %#v (%v)", vars, i, have, want, err)
			}
		}
		values, ok := b.Plain(text, nil)
		if again, ok2 := b.Append(nil, values); !ok || !ok2 || string(again) != text {
			t.Errorf("%#v: %q through plain values: %q", vars, text, again)
		}
	}
	for _, c := range []struct {
		args string
		vars []any
	}{
		{encode(5, 5), []any{5, 5}},             // in either order
		{encode(1, 2), []any{2, 1}},             // in another order
		{encode(1, 2), []any{1}},                // not all
		{"p1:a;" + encode(1), []any{1}},         // of a partition
		{"sha256:00ff", []any{1}},               // not there
		{"s9:abc;", []any{"abc"}},               // broken
		{"#;", []any{decodeID(1)}}, {"i1", nil}, // broken
	} {
		if b := BindingOf(c.args, c.vars); b != nil {
			t.Errorf("%q with %v: taken for %+v", c.args, c.vars, b)
		}
	}
	if values, ok := Split("i1;s3:a;b;", nil); !ok || !reflect.DeepEqual(values, []string{"i1;", "s3:a;b;"}) {
		t.Errorf("split into %q, %v", values, ok)
	}
}
