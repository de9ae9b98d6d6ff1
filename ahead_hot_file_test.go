package preload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/hotfile"
)

// endless gives the same text for ever, after a beginning.
type endless struct {
	begin, text string
	at          int // in the text
	read        int64
}

func (e *endless) Read(to []byte) (n int, err error) {
	n = copy(to, e.begin)
	e.begin = e.begin[n:]
	for n < len(to) {
		more := copy(to[n:], e.text[e.at:])
		e.at = (e.at + more) % len(e.text)
		n += more
	}
	e.read += int64(n)
	return n, nil
}

const hotBegin = `{"preload":3,"dialect":"sqlite","queries":[`

func TestLoadHotReadsNoMoreThanItCanUse(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	b, _ := manySetup(t, d)
	for n := range 5 {
		_ = b.db.First(&manyItem{}, n+1)
	}
	file := string(b.saved(t))
	keys := file[:strings.Index(file, `"keys":[`)+len(`"keys":[`)]
	for _, tt := range []struct {
		name, begin, text, want string
		most                    int64
	}{
		{"blanks", "", " ", "is longer than 128 KiB", 1 << 20},
		{"brackets", "", "[", "nothing that SaveHot wrote", 1 << 20},
		{"a text", hotBegin + `{"sql":"`, "x", "after byte", 1 << 20},
		{"a dialect", `{"preload":3,"dialect":"`, "x", "is longer than 128 KiB", 1 << 20},
		{"what is not known", `{"preload":3,"other":[`, "1,", "is longer than 128 KiB", 1 << 20},
		{"queries", hotBegin, `{"sql":"SELECT 1"},`, "more than 10000 queries", 2 << 20},
		{"keys", keys, `{"query":0,"args":"aTE7"},`, "", 1 << 20},
		{"keys of no query", keys, `{"query":7,"args":"aTE7"},`, "more queries and keys are damaged", 2 << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, _ := reopened(t, d, &manyItem{})
			from := &endless{begin: tt.begin, text: tt.text}
			err := b.plugin.LoadHot(t.Context(), from)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) || len(fmt.Sprint(err)) > 2_000 {
				t.Errorf("got %.2000v, want %q", err, tt.want)
			}
			if from.read > tt.most {
				t.Errorf("%d bytes were read, want at most %d", from.read, tt.most)
			}
			if s := b.plugin.Stats(); tt.name == "keys" && s.Entries != 1 {
				t.Errorf("%d entries, want the one that all keys are of", s.Entries)
			}
		})
	}
	t.Run("the file", func(t *testing.T) {
		const most = 1 << 20
		from := &endless{begin: hotBegin, text: `{"model":"` + strings.Repeat("x", 100<<10) + `"},`}
		if _, err := hotfile.Read(t.Context(), from, most, 1_000); err == nil || !strings.Contains(err.Error(), "longer than 64 MiB") || from.read > most+64<<10 {
			t.Errorf("%v, %d bytes were read", err, from.read)
		}
	})
}

// blocked is a reader that gives nothing until it is closed.
type blocked chan struct{}

func (b blocked) Read([]byte) (int, error) {
	<-b
	return 0, io.EOF
}

func TestLoadHotReturnsSoonAfterItsContextEnded(t *testing.T) {
	t.Parallel()
	b, _ := reopened(t, dbtest.SQLite(t))
	block := make(blocked)
	defer close(block)
	for name, from := range map[string]io.Reader{"blocked": block, "endless": &endless{begin: hotBegin, text: `{"sql":"SELECT 1"},`}} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- b.plugin.LoadHot(ctx, from) }()
		select {
		case err := <-done:
			if name == "blocked" && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v, want that the context ended", name, err)
			}
		case <-time.After(time.Minute):
			t.Errorf("%s: LoadHot has not returned long after its context ended", name)
		}
	}
}

func TestLoadHotLoadsWhatIsGoodOfADamagedFile(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	b, _ := manySetup(t, d)
	for _, n := range []int{4, 5, 6, 7} {
		_ = b.db.First(&manyItem{}, n)
	}
	file := b.saved(t)
	var whole hotfile.File
	if err := json.Unmarshal(file, &whole); err != nil || len(whole.Keys) != 4 {
		t.Fatalf("%v, %d keys", err, len(whole.Keys))
	}
	with := func(change func(f *hotfile.File)) []byte {
		f := whole
		f.Queries, f.Keys = append([]hotfile.Query{}, whole.Queries...), append([]hotfile.Key{}, whole.Keys...)
		change(&f)
		text, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	args := func(text string) []byte { return with(func(f *hotfile.File) { f.Keys[1].Args = []byte(text) }) }
	lastKey := bytes.LastIndex(file, []byte(`{"query"`))
	for _, tt := range []struct {
		name string
		file []byte
		want string
		good int
	}{
		{"a length beyond all", args("s9223372036854775807:a;"), "key 1 before byte", 3},
		{"a negative length", args("s-9:a;"), "key 1 before byte", 3},
		{"names of types without end", args(strings.Repeat("#;", 200)), "key 1 before byte", 3},
		{"a number that is none", args("ixyz;"), "key 1 before byte", 3},
		{"no args", args(""), "key 1 before byte", 3},
		{"too many args", args("i1;i2;"), "key 1 before byte", 3},
		{"a long arg", args("s4000:" + strings.Repeat("x", 4_000) + ";"), "key 1 before byte", 3},
		{"a query that is none", with(func(f *hotfile.File) { f.Keys[2].Query = -1 }), "a key is of query -1, of 1", 3},
		{"args that are no base64", bytes.Replace(file, []byte(`"args":"`), []byte(`"args":"!`), 1), "key 0 before byte", 3},
		{"a key that is a text", bytes.Replace(file, []byte(`{"query":0`), []byte(`"hello",{"query":0`), 1), "key 0 before byte", 4},
		{"cut off in the last key", file[:lastKey+5], "it is cut off at byte", 3},
		{"garbage after three keys", append(append([]byte{}, file[:lastKey]...), "\x00\xff"...), "what comes after byte", 3},
		{"a second query that is broken", with(func(f *hotfile.File) { f.Queries = append(f.Queries, hotfile.Query{Shape: []byte{255}}) }), "query 1 before byte", 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, log := reopened(t, d, &manyItem{})
			err := b.plugin.LoadHot(t.Context(), bytes.NewReader(tt.file))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if n := b.plugin.Stats().Entries; n != tt.good {
				t.Errorf("%d keys were loaded, want %d", n, tt.good)
			}
			if strings.Contains(log.String(), "a fault in the plugin") {
				t.Errorf("log %s", log)
			}
		})
	}
	for n := range file {
		if n%7 > 0 {
			continue // each byte is cut off by the fuzz test
		}
		b, _ := reopened(t, d, &manyItem{})
		if err := b.plugin.LoadHot(t.Context(), bytes.NewReader(file[:n])); err == nil && n < len(file)-2 {
			t.Errorf("no error of a file of %d of %d bytes", n, len(file))
		}
		_ = b.plugin.Close()
	}
}

func TestLoadHotStopsWhenMemoryIsFullAndKeepsTheHottest(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	b, plain := manySetup(t, d)
	_ = b.db.First(&manyItem{}, uint(4))
	var file hotfile.File
	if err := json.Unmarshal(b.saved(t), &file); err != nil {
		t.Fatal(err)
	}
	items := make([]manyItem, 3_000)
	for i := range items {
		items[i].Code = fmt.Sprint("many ", i)
	}
	if err := plain.CreateInBatches(&items, 100).Error; err != nil {
		t.Fatal(err)
	}
	file.Keys = nil
	for _, item := range items {
		arg, _ := args.Encode(item.ID)
		file.Keys = append(file.Keys, hotfile.Key{Args: []byte(arg)})
	}
	text, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		limit Option
		some  int
	}{{"entries", WithMaxEntries(100), 100}, {"bytes", WithMaxBytes(100 << 10), 60}} {
		t.Run(tt.name, func(t *testing.T) {
			b := &bench{db: d.Open(t), clock: dbtest.NewClock(), probe: d.Probe}
			b.plugin = New(WithClock(b.clock), WithMaxPatterns(5_000), tt.limit)
			if err := errors.Join(b.db.Use(b.plugin), b.plugin.Register(&manyItem{})); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = b.plugin.Close() })
			before := b.probe.Queries()
			if err := b.plugin.LoadHot(t.Context(), bytes.NewReader(text)); err != nil {
				t.Fatal(err)
			}
			s := b.plugin.Stats()
			if s.Entries < tt.some || s.Evicted > 0 || b.probe.Queries()-before > int64(s.Entries) {
				t.Errorf("%d entries, %d evicted, %d queries", s.Entries, s.Evicted, b.probe.Queries()-before)
			}
			before = b.probe.Queries()
			for i := range tt.some {
				if err := b.db.First(&manyItem{}, items[i].ID).Error; err != nil {
					t.Fatal(err)
				}
			}
			if n := b.probe.Queries() - before; n > 0 {
				t.Errorf("%d of the hottest %d keys are not there", n, tt.some)
			}
		})
	}
}

func TestSaveHotFileIsForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	b, _ := manySetup(t, d)
	for n := range 5 {
		_ = b.db.First(&manyItem{}, n+1)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "hot.json")
	if err := b.plugin.LoadHotFile(t.Context(), path); err != nil {
		t.Errorf("no file at the first start: %v, want no error", err)
	}
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(dir, ".hot.json.half-written-1")
	if err := errors.Join(os.WriteFile(old, nil, 0o600), os.Chtimes(old, time.Time{}, time.Now().Add(-time.Hour))); err != nil {
		t.Fatal(err)
	}
	if err := b.plugin.SaveHotFile(link); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, mode %v: want a file of 0600", err, info.Mode())
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 2 {
		t.Errorf("%v, %v: want the file and the link", names, err)
	}
	again, _ := reopened(t, d, &manyItem{})
	if err := again.plugin.LoadHotFile(t.Context(), path); err != nil || again.plugin.Stats().Entries != 5 {
		t.Errorf("%v, %d entries", err, again.plugin.Stats().Entries)
	}
	if err := b.plugin.SaveHotFile(filepath.Join(dir, "none", "hot.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
	if err := b.plugin.LoadHotFile(t.Context(), dir); err == nil {
		t.Error("a directory in place of a file is no error")
	}
	_ = b.plugin.Close()
	if err := b.plugin.SaveHotFile(path); err == nil || !strings.Contains(err.Error(), "call it before Close") {
		t.Errorf("after Close: %v", err)
	}
	if err := again.plugin.LoadHotFile(t.Context(), path); err != nil {
		t.Errorf("SaveHotFile that failed left a file that is not whole: %v", err)
	}
}

func TestAFileIsReplacedAsAWholeWhereverWritingFails(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	text := "new and longer"
	for n := range len(text) {
		if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		failed := errors.New("disk full")
		err := hotfile.Replace(path, func(to io.Writer) error {
			_, err := io.WriteString(to, text[:n])
			return errors.Join(err, failed)
		})
		got, _ := os.ReadFile(path)
		if names, _ := os.ReadDir(filepath.Dir(path)); !errors.Is(err, failed) || string(got) != "old" || len(names) != 1 {
			t.Errorf("failed after %d bytes: %v, the file holds %q, %d files", n, err, got, len(names))
		}
	}
}

const hotHelper = "PRELOAD_TEST_SAVE_HOT"

// TestSaveHotFileForTheOneThatIsKilled is the process that the next test kills.
func TestSaveHotFileForTheOneThatIsKilled(t *testing.T) {
	path := os.Getenv(hotHelper)
	if path == "" {
		t.Skip("only as a process of its own")
	}
	b, _ := manySetup(t, dbtest.SQLite(t))
	for n := range manyRows {
		_ = b.db.First(&manyItem{}, n+1)
		_ = b.db.Find(&[]manyItem{}, "code = ?", strings.Repeat("x", 400)+fmt.Sprint(n))
	}
	fmt.Println("saving")
	for {
		if err := b.plugin.SaveHotFile(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAKilledSaveHotFileLeavesAWholeFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hot.json")
	for round := range 6 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestSaveHotFileForTheOneThatIsKilled$")
		cmd.Env = append(os.Environ(), hotHelper+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		first := make([]byte, len("saving"))
		_, _ = io.ReadFull(out, first)
		time.Sleep(time.Duration(20+round*7) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		cancel()
		if string(first) != "saving" {
			t.Fatalf("the process said %q", first)
		}
		text, err := os.ReadFile(path)
		if err != nil && (round > 0 || !errors.Is(err, os.ErrNotExist)) {
			t.Fatal(err)
		}
		var file hotfile.File
		if err == nil && (json.Unmarshal(text, &file) != nil || len(file.Keys) == 0) {
			t.Errorf("round %d: a file of %d bytes that is not whole", round, len(text))
		}
	}
}

func FuzzLoadHot(f *testing.F) {
	d := dbtest.SQLite(f)
	db := d.Open(f)
	var log bytes.Buffer
	p := New(WithoutWorker(), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	if err := errors.Join(db.AutoMigrate(&manyItem{}), db.Use(p), p.Register(&manyItem{})); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = p.Close() })
	for n := range 3 {
		if err := db.Create(&manyItem{Code: fmt.Sprint("c", n)}).Error; err != nil {
			f.Fatal(err)
		}
		_ = db.First(&manyItem{}, n+1)
		_ = db.Find(&[]manyItem{}, "code = ? AND price = ?", fmt.Sprint("c", n), 1.5)
	}
	var file bytes.Buffer
	if err := p.SaveHot(&file); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	for n := 0; n < file.Len(); n += 97 {
		f.Add(file.Bytes()[:n])
		f.Add(append(append(bytes.Clone(file.Bytes()[:n]), "\"[{"...), file.Bytes()[n:]...))
	}
	f.Add([]byte(`{"preload":3,"keys":null}`))
	f.Add([]byte(`{"preload":3,"queries":{},"keys":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p.Clear()
		log.Reset()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_ = p.LoadHot(ctx, bytes.NewReader(text)) // any error will do
		if ctx.Err() != nil {
			t.Error("it took ten seconds")
		}
		if strings.Contains(log.String(), "a fault in the plugin") {
			t.Errorf("log %s", &log)
		}
		var rows int64
		if err := db.Clauses(Bypass).Model(&manyItem{}).Count(&rows).Error; err != nil || rows != 3 {
			t.Errorf("%d rows, %v", rows, err)
		}
	})
}
