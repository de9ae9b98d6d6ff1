package batch

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"github.com/gorm-preload/preload/internal/coherence"
	"pgregory.net/rapid"
)

func values(texts ...string) []coherence.Value {
	all := make([]coherence.Value, len(texts))
	for i, text := range texts {
		all[i] = coherence.Value(text)
	}
	return all
}

// byKey is an update of one column of a row.
func byKey() Change {
	return Change{coherence.Change{
		Table: "chat_streams", Kinds: coherence.Update, Columns: coherence.Columns{Names: []string{"message_count"}},
		Where: coherence.Pins{{Column: "stream_id", Values: values("sstream1234567")}},
	}, 7}
}

// wide is the insert of a row of 20 columns.
func wide() Change {
	c := Change{coherence.Change{Table: "person_infos", Kinds: coherence.Insert}, 9}
	for i := range 20 {
		c.Set = append(c.Set, coherence.Pin{Column: fmt.Sprintf("column_%02d", i), Values: values(fmt.Sprintf("svalue%d", i))})
	}
	return c
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	t.Parallel()
	pins := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) coherence.Pin {
		p := coherence.Pin{Column: rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "column")}
		if rapid.Bool().Draw(t, "known") {
			p.Values = values(rapid.SliceOfN(rapid.StringN(0, 4, 8), 0, 3).Draw(t, "values")...)
		}
		return p
	}), 0, 3, func(p coherence.Pin) string { return p.Column })
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 4).Draw(t, "changes")
		var changes []Change
		for range n {
			c := Change{coherence.Change{
				Table: rapid.SampledFrom([]string{"", "t", "u"}).Draw(t, "table"), Kinds: coherence.Kind(rapid.IntRange(1, 7).Draw(t, "kinds")),
			}, rapid.Uint64().Draw(t, "sum")}
			c.Columns.All = rapid.Bool().Draw(t, "all")
			if names := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b"}), 0, 2).Draw(t, "columns"); len(names) > 0 {
				c.Columns.Names = names
			}
			if p := pins.Draw(t, "where"); len(p) > 0 {
				c.Where = p
			}
			if p := pins.Draw(t, "set"); len(p) > 0 {
				c.Set = p
			}
			changes = append(changes, c)
		}
		b := Append(nil, changes)
		got, err := Read(b)
		if err != nil || !reflect.DeepEqual(got, changes) {
			t.Fatalf("wrote %+v, read %+v, %v", changes, got, err)
		}
		for cut := range b {
			if got, err := Read(b[:cut]); err == nil {
				t.Fatalf("the first %d of %d bytes of %+v are read as %+v", cut, len(b), changes, got)
			}
		}
		if _, err := Read(append(b, 0)); err == nil {
			t.Fatal("a byte too many is no error")
		}
	})
}

func TestBatchesAreSmall(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		of   Change
		most int
	}{
		{"update by key", byKey(), 90},
		{"insert of 20 columns", wide(), 559},
		{"table", Change{coherence.Loose("chat_streams", coherence.Any), 0}, 32},
		{"everything", Change{coherence.Everything, 0}, 20},
	} {
		if got := len(Append(nil, []Change{c.of})); got > c.most {
			t.Errorf("%s: %d bytes, want %d at most", c.name, got, c.most)
		}
	}
}

func TestWhatIsNotUnderstoodIsAnError(t *testing.T) {
	t.Parallel()
	good := Append(nil, []Change{byKey()})
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"nothing", nil},
		{"another version", append([]byte{version + 1}, good[1:]...)},
		{"no changes", []byte{version, 0}},
		{"a change of no kind", Append(nil, []Change{{coherence.Change{Table: "t"}, 1}})},
		{"a kind that is not known", Append(nil, []Change{{coherence.Change{Table: "t", Kinds: 1 << 4}, 1}})},
		{"more changes than there is room for", []byte{version, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}},
		{"a column twice", Append(nil, []Change{{coherence.Change{Table: "t", Kinds: coherence.Delete, Where: coherence.Pins{
			{Column: "a", Values: values("i1")}, {Column: "a", Values: values("i2")}}}, 1}})},
		{"too long", append([]byte{version}, make([]byte, MaxBytes)...)},
	} {
		if got, err := Read(c.b); err == nil {
			t.Errorf("%s: read as %+v", c.name, got)
		}
	}
}

func TestASealKeepsOthersOut(t *testing.T) {
	t.Parallel()
	if _, err := NewSeal([]byte("short")); err == nil {
		t.Error("a short secret is taken")
	}
	mine, err := NewSeal([]byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	other, _ := NewSeal([]byte("0123456789abcdeg"))
	plain := Append(nil, []Change{byKey()})
	closed := mine.Close(plain)
	if got, err := mine.Open(closed); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("opened %q, %v", got, err)
	}
	if bytes.Contains(closed, []byte("chat_streams")) {
		t.Error("the name of a table can be read")
	}
	if bytes.Equal(closed, mine.Close(plain)) {
		t.Error("a batch that is sealed twice is the same: no nonce")
	}
	if _, err := other.Open(closed); err == nil {
		t.Error("another secret opens it")
	}
	if _, err := mine.Open(plain); err == nil {
		t.Error("what is not sealed is taken")
	}
	for i := range closed {
		altered := bytes.Clone(closed)
		altered[i] ^= 1
		if _, err := mine.Open(altered); err == nil {
			t.Errorf("byte %d may be altered", i)
		}
		if _, err := mine.Open(closed[:i]); err == nil {
			t.Errorf("it may be cut off at %d", i)
		}
	}
	if got, err := (*Seal)(nil).Open((*Seal)(nil).Close(plain)); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("without a seal: %q, %v", got, err)
	}
}

// FuzzRead: whatever comes, there is no panic; and what is read means what is written of it.
func FuzzRead(f *testing.F) {
	for _, c := range []Change{byKey(), wide(), {coherence.Everything, 0}, {coherence.Loose("t", coherence.Any), 1}} {
		f.Add(Append(nil, []Change{c, byKey()}))
	}
	seal, _ := NewSeal([]byte("0123456789abcdef"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := seal.Open(b); err == nil {
			t.Error("opened without the secret")
		}
		changes, err := Read(b)
		if err != nil {
			return
		}
		again, err := Read(Append(nil, changes))
		if err != nil || !reflect.DeepEqual(again, changes) {
			t.Errorf("%+v is read back as %+v, %v", changes, again, err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	changes, buf := []Change{byKey()}, []byte(nil)
	for b.Loop() {
		buf = Append(buf[:0], changes)
	}
}

func BenchmarkRead(b *testing.B) {
	buf := Append(nil, []Change{byKey()})
	for b.Loop() {
		_, _ = Read(buf)
	}
}
