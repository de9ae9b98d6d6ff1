package preload_test

import (
	"bytes"
	"context"
	"database/sql/driver"
	"log/slog"
	"math"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

type unkeptBlob struct {
	_    struct{} `preload:""`
	ID   uint
	Kind string `gorm:"size:20"`
	Data []byte
}

// unkeptWire scans into what cannot be copied, unless it is empty.
type unkeptWire struct{ ready chan struct{} }

func (w unkeptWire) Value() (driver.Value, error) { return "", nil }

func (w *unkeptWire) Scan(v any) error {
	if text, _ := v.(string); text != "none" {
		w.ready = make(chan struct{})
	}
	return nil
}

type unkeptLine struct {
	_    struct{} `preload:""`
	ID   uint
	Wire unkeptWire `gorm:"type:text"`
}

func unkeptOpen(t *testing.T, options ...preload.Option) (b *worldtest.World, log *bytes.Buffer) {
	t.Helper()
	d := dbtest.SQLite(t)
	worldtest.Must(t, d.Plain(t).AutoMigrate(&unkeptBlob{}, &unkeptLine{}))
	log = &bytes.Buffer{}
	return readOpen(t, d, append([]preload.Option{preload.WithLogger(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})))}, options...)...), log
}

func TestAnAnswerThatIsTooLargeIsNotCopied(t *testing.T) {
	t.Parallel()
	b, log := unkeptOpen(t, preload.WithMaxBytes(1<<20))
	const size = 8 << 20
	worldtest.Must(t, b.Plain.Create(&[]unkeptBlob{{Kind: "large", Data: make([]byte, size)}, {Kind: "small", Data: make([]byte, 10)}}).Error)
	find := func(db *gorm.DB, kind string) {
		t.Helper()
		var blobs []unkeptBlob
		if err := db.Find(&blobs, "kind = ?", kind).Error; err != nil || len(blobs) != 1 || blobs[0].Kind != kind {
			t.Fatalf("%s: %d rows, %v", kind, len(blobs), err)
		}
	}
	allocated := func(do func()) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		do()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	find(b.Plain, "large")
	// Others may allocate meanwhile, but hardly each time.
	plain := uint64(math.MaxUint64)
	for range 5 {
		plain = min(plain, allocated(func() { find(b.Plain, "large") }))
	}
	most := plain + size/2
	got := most + 1
	for n := 0; got > most && n < 100; n++ {
		worldtest.Must(t, b.Plugin.Invalidate())
		b.Plugin.Clear()
		got = min(got, allocated(func() { find(b.DB, "large") }))
	}
	if got > most {
		t.Errorf("the first read allocates %d bytes, plain GORM %d: want no copy of %d", got, plain, size)
	}
	s := b.Plugin.Stats()
	if want := (map[preload.Cause]int64{preload.CauseTooLarge: 1}); !reflect.DeepEqual(s.MissCauses, want) || s.Misses != 1 || s.Bypassed != 0 {
		t.Errorf("the first read: causes %v, %d misses, bypassed %v", s.MissCauses, s.Misses, s.BypassReasons)
	}
	for range 10 {
		find(b.DB, "large")
	}
	s = b.Plugin.Stats()
	if s.Misses != 1 || s.BypassReasons[preload.ReasonTooLarge] != 10 || s.Entries != 0 {
		t.Errorf("ten more: %d misses, bypassed %v, %d entries", s.Misses, s.BypassReasons, s.Entries)
	}
	// With other args the same shape of query may be small.
	find(b.DB, "small")
	if n := b.Queries(func() { find(b.DB, "small") }); n != 0 {
		t.Errorf("a small answer of the same shape is not kept: %v", b.Plugin.Stats().BypassReasons)
	}
	// It may have become small: it is tried again after a while.
	worldtest.Must(t, b.DB.Model(&unkeptBlob{}).Where("kind = ?", "large").Update("data", []byte("x")).Error)
	b.Clock.Advance(2 * time.Minute)
	find(b.DB, "large")
	if n := b.Queries(func() { find(b.DB, "large") }); n != 0 {
		t.Errorf("an answer that is small now is not kept: %v", b.Plugin.Stats().BypassReasons)
	}
	if log.Len() > 0 {
		t.Errorf("log %s", log)
	}
}

func TestAnAnswerOfTooManyRowsIsBypassedAfterItsFirstMiss(t *testing.T) {
	t.Parallel()
	b, _ := unkeptOpen(t, preload.WithMaxRows(3))
	worldtest.Must(t, b.Plain.Create(&[]unkeptBlob{{Kind: "a"}, {Kind: "a"}, {Kind: "a"}, {Kind: "a"}, {Kind: "b"}}).Error)
	for range 3 {
		for _, kind := range []string{"a", "b"} {
			worldtest.Must(t, b.DB.Find(&[]unkeptBlob{}, "kind = ?", kind).Error)
		}
	}
	s := b.Plugin.Stats()
	if s.MissCauses[preload.CauseTooLarge] != 1 || s.BypassReasons[preload.ReasonTooLarge] != 2 || s.Misses != 2 || s.Hits != 2 {
		t.Errorf("causes %v, bypassed %v, %d misses, %d hits", s.MissCauses, s.BypassReasons, s.Misses, s.Hits)
	}
	b.Plugin.Clear()
	if s := b.Plugin.Stats(); len(s.MissCauses) != 0 {
		t.Errorf("after Clear: %v", s.MissCauses)
	}
}

// Those who wait for an answer that is too large get copies of one copy: a thousand queries for
// much at once would be worse.
func TestWhoWaitsForAnAnswerThatIsTooLargeGetsIt(t *testing.T) {
	t.Parallel()
	b, _ := unkeptOpen(t, preload.WithMaxRows(1))
	worldtest.Must(t, b.Plain.Create(&[]unkeptBlob{{Kind: "a"}, {Kind: "a"}}).Error)
	gate := b.Gate(func(c dbtest.Call) bool { return strings.Contains(c.SQL, "unkept_blobs") })
	defer gate.Release()
	var wg sync.WaitGroup
	find := func(ctx context.Context) {
		var blobs []unkeptBlob
		if err := b.DB.WithContext(ctx).Find(&blobs).Error; err != nil || len(blobs) != 2 {
			t.Errorf("%d rows, %v", len(blobs), err)
		}
	}
	before := b.Probe.Queries()
	wg.Go(func() { find(context.Background()) })
	<-gate.Arrived
	for range 8 {
		ctx := worldtest.NewWaiting(context.Background())
		wg.Go(func() { find(ctx) })
		<-ctx.Begun
	}
	gate.Release()
	wg.Wait()
	if n := b.Probe.Queries() - before; n != 1 {
		t.Errorf("%d queries, want 1", n)
	}
	if s := b.Plugin.Stats(); s.Entries != 0 || s.Hits != 8 {
		t.Errorf("%d entries, %d hits", s.Entries, s.Hits)
	}
}

func TestAnAnswerThatCannotBeCopiedIsTriedOnce(t *testing.T) {
	t.Parallel()
	b, log := unkeptOpen(t)
	worldtest.Must(t, b.Plain.Exec("INSERT INTO unkept_lines (id, wire) VALUES (1, 'x'), (2, 'y')").Error)
	for range 1_000 {
		var line unkeptLine
		if err := b.DB.First(&line, 1).Error; err != nil || line.Wire.ready == nil {
			t.Fatalf("%+v, %v", line, err)
		}
	}
	var other unkeptLine
	worldtest.Must(t, b.DB.First(&other, 2).Error)
	s := b.Plugin.Stats()
	if s.MissCauses[preload.CauseNotKeepable] != 1 || s.Misses != 1 || s.BypassReasons[preload.ReasonNotKeepable] != 1_000 {
		t.Errorf("causes %v, %d misses, bypassed %v", s.MissCauses, s.Misses, s.BypassReasons)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "unkeptLine") {
		t.Errorf("%d lines: %s", n, log)
	}
}

func TestOwnDataThatCannotBeKeptIsNotCopied(t *testing.T) {
	t.Parallel()
	b, log := unkeptOpen(t, preload.WithMaxBytes(1<<12))
	ctx := context.Background()
	for key, value := range map[string]any{"large": make([]byte, 1<<20), "wired": make(chan int)} {
		loads := 0
		for range 5 {
			got, err := preload.Load(ctx, b.Plugin, key, func(context.Context) (any, error) { loads++; return value, nil })
			if err != nil || reflect.ValueOf(got).Pointer() != reflect.ValueOf(value).Pointer() {
				t.Errorf("%s: %T, %v: want the value itself", key, got, err)
			}
		}
		if loads != 5 {
			t.Errorf("%s: %d loads", key, loads)
		}
	}
	s := b.Plugin.Stats()
	want := map[preload.Cause]int64{preload.CauseTooLarge: 5, preload.CauseNotKeepable: 5}
	if !reflect.DeepEqual(s.MissCauses, want) || s.Entries != 0 || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("causes %v, %d entries, log %s", s.MissCauses, s.Entries, log)
	}
	for value, text := range map[any]string{new([1 << 16]int): "larger than WithMaxBytes", make(chan int): "cannot be copied"} {
		err := b.Plugin.Preload(ctx, "other "+text, func(context.Context) (any, error) { return value, nil })
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("Preload of a %T: %v, want %q", value, err, text)
		}
	}
}

func TestMissesTellTheirCauseWhereItIsKnown(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	var c worldtest.ReadCompany
	worldtest.Must(t, b.DB.First(&c, 1).Error)
	worldtest.Must(t, b.DB.Clauses(preload.Refresh).First(new(worldtest.ReadCompany), 1).Error)
	worldtest.Must(t, b.DB.Connection(func(tx *gorm.DB) error {
		return tx.Model(&worldtest.ReadCompany{}).Where("id = ?", 1).Update("name", "held").Error
	}))
	worldtest.Must(t, b.DB.First(new(worldtest.ReadCompany), 1).Error)
	want := map[preload.Cause]int64{preload.CauseCold: 1, preload.CauseRefreshed: 1, preload.CauseHeldOut: 1}
	s := b.Plugin.Stats()
	if !reflect.DeepEqual(s.MissCauses, want) || s.Misses != 3 {
		t.Errorf("causes %v of %d misses, want %v of 3", s.MissCauses, s.Misses, want)
	}
	if !reflect.DeepEqual(s.HeldOut, []string{"read_companies"}) || s.HoldOuts != 1 {
		t.Errorf("held out %q by %d writes, want read_companies by one", s.HeldOut, s.HoldOuts)
	}
}
