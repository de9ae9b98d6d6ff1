package preload_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"github.com/gorm-preload/preload/models"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// A write of one row costs the answers that it changes and few others: most of what it leaves as it
// was is still served from memory. The figures count the answers of the written table only, as
// those of other tables are easy to keep.

const (
	survivalOfChat   = 95 // percent, at least
	survivalOfRandom = 90
)

// surviveRead is a query whose answer is kept.
type surviveRead struct {
	table, form string
	name        string
	worldtest.Query
}

// surviveWrite is a write of one row.
type surviveWrite struct {
	table, kind string
	name        string
	do          func(db *gorm.DB) error
}

// surviveCount counts answers that writes left as they were, and those of them that were then
// served without a query.
type surviveCount struct{ unchanged, served int }

func (c *surviveCount) add(served bool) {
	c.unchanged++
	if served {
		c.served++
	}
}

func (c *surviveCount) percent() float64 {
	return 100 * float64(c.served) / float64(max(c.unchanged, 1))
}

func (c *surviveCount) String() string {
	return fmt.Sprintf("%.2f %% (%d of %d)", c.percent(), c.served, c.unchanged)
}

// surviveCounts counts by a name.
type surviveCounts map[string]*surviveCount

func (c surviveCounts) add(name string, served bool) {
	if c[name] == nil {
		c[name] = &surviveCount{}
	}
	c[name].add(served)
}

func (c surviveCounts) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(&b, "\n  %-44s %v", name, c[name])
	}
	return b.String()
}

// survival asks the same queries after each of many writes.
type survival struct {
	*worldtest.World
	reads []surviveRead
	right []worldtest.Answer // by read: what plain GORM answers

	written, others surviveCount // answers of the written table, and of others
	kinds, forms    surviveCounts
	changed         int
}

// newSurvival gets the answers into memory.
func newSurvival(t testing.TB, w *worldtest.World, reads []surviveRead) *survival {
	t.Helper()
	s := &survival{World: w, reads: reads, right: make([]worldtest.Answer, len(reads)), kinds: surviveCounts{}, forms: surviveCounts{}}
	for i, r := range reads {
		s.right[i] = r.Ask(w.Plain)
		worldtest.Equal(t, "at first", r.name, r.Ask(w.DB), s.right[i])
	}
	s.allKept(t, "at first")
	return s
}

// served asks through the plugin, and says whether that was no query. What was killed is kept again
// afterwards.
func (s *survival) served(r surviveRead) (worldtest.Answer, bool) {
	before := s.Probe.Queries()
	got := r.Ask(s.DB)
	return got, s.Probe.Queries() == before
}

func (s *survival) allKept(t testing.TB, when string) {
	t.Helper()
	for i, r := range s.reads {
		got, served := s.served(r)
		worldtest.Equal(t, when+", from memory", r.name, got, s.right[i])
		if !served {
			t.Fatalf("%s: %s is not kept; bypassed: %v", when, r.name, s.Plugin.Stats().BypassReasons)
		}
	}
}

// write does one write and asks everything about its table again, and about the others if told so.
func (s *survival) write(t testing.TB, w surviveWrite, others bool) {
	t.Helper()
	if err := w.do(s.DB); err != nil {
		t.Fatalf("%s: %v", w.name, err)
	}
	for i, r := range s.reads {
		right := s.right[i]
		if r.table == w.table {
			right = r.Ask(s.Plain)
		} else if !others {
			continue
		}
		got, served := s.served(r)
		worldtest.Equal(t, "after "+w.name, r.name, got, right)
		switch unchanged := right.Differs(s.right[i]) == ""; {
		case !unchanged:
			s.changed++
		case r.table != w.table:
			s.others.add(served)
		default:
			s.written.add(served)
			s.kinds.add(w.kind, served)
			s.forms.add(r.form, served)
		}
		s.right[i] = right
	}
}

// report logs how much survived and checks that it is enough.
func (s *survival) report(t testing.TB, least float64) {
	t.Helper()
	for _, r := range s.reads {
		r.Ask(s.DB)
	}
	s.allKept(t, "at last")
	t.Logf("of the written table %v, of other tables %v survived; %d answers changed\nby kind of write:%v\nby form of read:%v",
		&s.written, &s.others, s.changed, s.kinds, s.forms)
	if s.changed == 0 {
		t.Errorf("the writes changed no answer: the test tests nothing")
	}
	if s.Dialect == "mysql" {
		// Its collations fold what others tell apart, so that less can be proved.
		least = 0
	}
	if got := s.written.percent(); got < least || got == 0 {
		t.Errorf("%v of the unchanged answers of a written table were served from memory, want at least %v %%", &s.written, least)
	}
	if got := s.others.percent(); got < least || got == 0 {
		t.Errorf("%v of the answers of other tables were served from memory, want at least %v %%", &s.others, least)
	}
}

// surviveTable is how rows of a table are written.
type surviveTable struct {
	schema *schema.Schema
	unique string // a column that is unique; "" for none
	// free are columns by which no query filters or orders, number one of them to which 1 can be
	// added; "" for none.
	free   []string
	number string
	// fresh makes a row; those of two numbers differ in every unique column.
	fresh func(r *rand.Rand, n int) any
}

func newSurviveTable(t testing.TB, db *gorm.DB, model any, unique string, free []string, number string, fresh func(r *rand.Rand, n int) any) *surviveTable {
	t.Helper()
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(model); err != nil {
		t.Fatal(err)
	}
	return &surviveTable{schema: stmt.Schema, unique: unique, free: free, number: number, fresh: fresh}
}

func (s *surviveTable) model() any { return reflect.New(s.schema.ModelType).Interface() }

// key orders by the primary key.
func (s *surviveTable) key() string { return strings.Join(s.schema.PrimaryFieldDBNames, ", ") }

// any reads one of the rows.
func (s *surviveTable) any(t testing.TB, r *rand.Rand, plain *gorm.DB) reflect.Value {
	t.Helper()
	var n int64
	row := s.model()
	if err := plain.Model(row).Count(&n).Error; err != nil || n == 0 {
		t.Fatalf("%s has %d rows, error %v", s.schema.Table, n, err)
	}
	if err := plain.Order(s.key()).Offset(r.IntN(int(n))).Limit(1).Find(row).Error; err != nil {
		t.Fatal(err)
	}
	return reflect.ValueOf(row).Elem()
}

// holds returns what a row has in these columns.
func (s *surviveTable) holds(row reflect.Value, columns ...string) map[string]any {
	values := map[string]any{}
	for _, column := range columns {
		v, _ := s.schema.FieldsByDBName[column].ValueOf(context.Background(), row)
		if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer && !p.IsNil() {
			v = p.Elem().Interface()
		}
		values[column] = v
	}
	return values
}

// value returns a value for a column, another one for each number.
func (s *surviveTable) value(column string, n int) any {
	switch s.schema.FieldsByDBName[column].IndirectFieldType.Kind() {
	case reflect.String:
		return fmt.Sprint("text ", n)
	case reflect.Bool:
		return n%2 == 0
	case reflect.Float64:
		return float64(n) + 0.5
	}
	return n + 1
}

// write draws a write of one row: as applications do it most, by key.
func (s *surviveTable) write(t testing.TB, r *rand.Rand, plain *gorm.DB, n int) surviveWrite {
	t.Helper()
	table := s.schema.Table
	named := func(kind string, detail any, do func(db *gorm.DB) error) surviveWrite {
		return surviveWrite{table: table, kind: kind, name: fmt.Sprintf("%s of %s, %v", kind, table, detail), do: do}
	}
	switch r.IntN(6) {
	case 0:
		row := s.fresh(r, n)
		return named("insert", n, func(db *gorm.DB) error { return db.Create(row).Error })
	case 1:
		key := s.holds(s.any(t, r, plain), s.schema.PrimaryFieldDBNames...)
		return named("delete by primary key", key, func(db *gorm.DB) error { return s.one(db.Where(key).Delete(s.model())) })
	}
	columns, by := s.schema.PrimaryFieldDBNames, "update by primary key"
	if s.unique != "" && r.IntN(2) == 0 {
		columns, by = []string{s.unique}, "update by unique key"
	}
	row := s.any(t, r, plain)
	where := s.holds(row, columns...)
	// Either as conditions or, for a primary key, as the model's own.
	chosen := func(db *gorm.DB) *gorm.DB { return db.Model(s.model()).Where(where) }
	if by == "update by primary key" && r.IntN(2) == 0 {
		model := reflect.New(s.schema.ModelType)
		for _, f := range s.schema.PrimaryFields {
			v, _ := f.ValueOf(context.Background(), row)
			if err := f.Set(context.Background(), model.Elem(), v); err != nil {
				t.Fatal(err)
			}
		}
		chosen = func(db *gorm.DB) *gorm.DB { return db.Model(model.Interface()) }
	}
	column := s.free[r.IntN(len(s.free))]
	value := s.value(column, n)
	detail := fmt.Sprintf("%s where %v", column, where)
	switch r.IntN(4) {
	case 0:
		other := s.free[r.IntN(len(s.free))]
		set := map[string]any{column: value, other: s.value(other, n)}
		return named(by+", map", detail, func(db *gorm.DB) error { return s.one(chosen(db).Updates(set)) })
	case 1:
		set := reflect.New(s.schema.ModelType)
		if err := s.schema.FieldsByDBName[column].Set(context.Background(), set.Elem(), value); err != nil {
			t.Fatal(err)
		}
		// A struct updates what is not zero in it, and here all of one column.
		return named(by+", struct", detail, func(db *gorm.DB) error { return s.one(chosen(db).Select(column).Updates(set.Interface())) })
	case 2:
		return named(by+", UpdateColumn", detail, func(db *gorm.DB) error { return s.one(chosen(db).UpdateColumn(column, value)) })
	}
	expr := gorm.Expr("?", value)
	if s.number != "" {
		column, expr = s.number, gorm.Expr("COALESCE("+s.number+", 0) + ?", 1)
	}
	return named(by+", gorm.Expr", detail, func(db *gorm.DB) error { return s.one(chosen(db).Update(column, expr)) })
}

// one is the error of a write, and one of its own where it touched several rows. (MySQL says 0
// where a row had these values before.)
func (s *surviveTable) one(tx *gorm.DB) error {
	if tx.Error == nil && tx.RowsAffected > 1 {
		return fmt.Errorf("%d rows of %s were touched, want 1", tx.RowsAffected, s.schema.Table)
	}
	return tx.Error
}

// surviveRand draws what is drawn: the same each time, so that figures can be compared.
func surviveRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// surviveRun does writes to tables drawn at random: so many, or for as long as PRELOAD_TEST_LONG
// says.
func surviveRun(t testing.TB, s *survival, r *rand.Rand, tables []*surviveTable, writes int) {
	t.Helper()
	deadline := time.Now().Add(worldtest.Budget(t, 0))
	n := 0
	for ; n < writes || time.Now().Before(deadline); n++ {
		s.write(t, tables[r.IntN(len(tables))].write(t, r, s.Plain, n), n%10 == 0)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d writes, %d queries kept", n, len(s.reads))
}

const (
	surviveUsers    = 200
	surviveStreams  = 50
	surviveHistory  = 30
	surviveLatest   = 20
	surviveWrites   = 100
	survivePlatform = "qq"
)

func surviveUser(n int) string   { return fmt.Sprintf("user-%05d", n) }
func surviveStream(n int) string { return fmt.Sprintf("stream-%04d", n) }

func surviveMessage(id, stream, user string, at float64) *models.Messages {
	text := "This is message " + id + " of " + user + " in " + stream + "."
	return &models.Messages{
		MessageID: id, Time: at, ChatID: stream, ChatInfoStreamID: stream, ChatInfoPlatform: survivePlatform,
		UserID: user, UserPlatform: survivePlatform, UserNickname: "nick of " + user, ProcessedPlainText: &text, DisplayMessage: &text,
	}
}

// surviveFill creates users, conversations and their history as examples/chat does: some users are
// unknown, or have no relationship or no permission.
func surviveFill(t testing.TB, plain *gorm.DB, r *rand.Rand) {
	t.Helper()
	var (
		since         = time.Unix(1_700_000_000, 0).UTC()
		persons       []models.PersonInfo
		permissions   []models.UserPermissions
		relationships []models.UserRelationships
		streams       []models.ChatStreams
		messages      []*models.Messages
	)
	for i := range surviveUsers {
		user := surviveUser(i)
		if r.IntN(20) > 0 {
			persons = append(persons, models.PersonInfo{
				PersonID: "person of " + user, Platform: survivePlatform, UserID: user, Nickname: worldtest.Ptr("nick of " + user),
				Impression: worldtest.Ptr("writes often"), KnowTimes: worldtest.Ptr(float64(i)), Attitude: 1 + r.IntN(100),
			})
		}
		for n := range r.IntN(5) {
			permissions = append(permissions, models.UserPermissions{
				Platform: survivePlatform, UserID: user, PermissionNode: fmt.Sprint("chat.node-", n), Granted: n > 0, GrantedAt: since,
			})
		}
		if r.IntN(5) > 0 {
			relationships = append(relationships, models.UserRelationships{
				UserID: user, UserName: worldtest.Ptr("Person " + user), RelationshipScore: 0.5, LastUpdated: 1, CreatedAt: since,
			})
		}
	}
	for i := range surviveStreams {
		stream := surviveStream(i)
		streams = append(streams, models.ChatStreams{
			StreamID: stream, GroupID: worldtest.Ptr("group-" + stream), Platform: survivePlatform, UserPlatform: survivePlatform,
			UserID: surviveUser(0), UserNickname: "nick of " + surviveUser(0), EnergyValue: 5, MessageCount: surviveHistory,
		})
		for n := range surviveHistory {
			messages = append(messages, surviveMessage(fmt.Sprintf("%s-%03d", stream, n), stream, surviveUser(r.IntN(surviveUsers)), float64(n)))
		}
	}
	err := plain.AutoMigrate(models.All()...)
	for _, rows := range []any{&persons, &permissions, &relationships, &streams, &messages} {
		err = errors.Join(err, plain.CreateInBatches(rows, 200).Error)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// surviveChatReads are all that a chat application asks: five queries, for every user and
// conversation.
func surviveChatReads() (reads []surviveRead) {
	for i := range surviveUsers {
		user := surviveUser(i)
		reads = append(reads,
			surviveRead{"person_info", "person", "person " + user, func(db *gorm.DB) (any, *gorm.DB) {
				var person models.PersonInfo
				return &person, models.Person(db, survivePlatform, user).First(&person)
			}},
			surviveRead{"user_permissions", "permissions", "permissions of " + user, func(db *gorm.DB) (any, *gorm.DB) {
				var permissions []models.UserPermissions
				tx := models.Permissions(db, survivePlatform, user).Find(&permissions)
				// The query leaves their order to the database.
				slices.SortFunc(permissions, func(a, b models.UserPermissions) int { return int(a.ID) - int(b.ID) })
				return &permissions, tx
			}},
			surviveRead{"user_relationships", "relationship", "relationship with " + user, func(db *gorm.DB) (any, *gorm.DB) {
				var relationship models.UserRelationships
				return &relationship, models.Relationship(db, user).First(&relationship)
			}})
	}
	for i := range surviveStreams {
		stream := surviveStream(i)
		reads = append(reads,
			surviveRead{"chat_streams", "stream", "stream " + stream, func(db *gorm.DB) (any, *gorm.DB) {
				var row models.ChatStreams
				return &row, models.Stream(db, stream).First(&row)
			}},
			surviveRead{"messages", "latest messages", "latest messages of " + stream, func(db *gorm.DB) (any, *gorm.DB) {
				var messages []models.Messages
				return &messages, models.LatestMessages(db, stream, surviveLatest).Find(&messages)
			}})
	}
	return reads
}

func TestSurvivalChat(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		r := surviveRand()
		plain := d.Plain(t, &gorm.Config{PrepareStmt: true})
		surviveFill(t, plain, r)
		anyUser := func(r *rand.Rand) string { return surviveUser(r.IntN(surviveUsers)) }
		tables := []*surviveTable{
			newSurviveTable(t, plain, &models.PersonInfo{}, "person_id", []string{"impression", "attitude", "know_times"}, "attitude",
				func(r *rand.Rand, n int) any {
					return &models.PersonInfo{PersonID: fmt.Sprint("new ", n), Platform: survivePlatform, UserID: anyUser(r), Attitude: 1}
				}),
			newSurviveTable(t, plain, &models.UserPermissions{}, "", []string{"granted", "granted_by"}, "",
				func(r *rand.Rand, n int) any {
					return &models.UserPermissions{Platform: survivePlatform, UserID: anyUser(r), PermissionNode: fmt.Sprint("new ", n)}
				}),
			newSurviveTable(t, plain, &models.UserRelationships{}, "user_id", []string{"relationship_text", "relationship_score", "last_updated"}, "last_updated",
				func(r *rand.Rand, n int) any {
					return &models.UserRelationships{UserID: fmt.Sprint("new ", n), LastUpdated: float64(n)}
				}),
			newSurviveTable(t, plain, &models.ChatStreams{}, "stream_id", []string{"last_active_time", "message_count", "energy_value", "group_name"}, "message_count",
				func(r *rand.Rand, n int) any {
					return &models.ChatStreams{StreamID: fmt.Sprint("new ", n), Platform: survivePlatform, UserID: anyUser(r)}
				}),
			newSurviveTable(t, plain, &models.Messages{}, "", []string{"display_message", "memorized_times", "interest_value", "is_emoji"}, "memorized_times",
				func(r *rand.Rand, n int) any {
					// No two messages of a conversation have the same time, which would leave their
					// order open.
					return surviveMessage(fmt.Sprint("new ", n), surviveStream(r.IntN(surviveStreams)), anyUser(r), float64(surviveHistory+n))
				}),
		}
		s := newSurvival(t, writeOpen(t, d, plain, nil), surviveChatReads())
		surviveRun(t, s, r, tables, surviveWrites)
		s.report(t, survivalOfChat)
	})
}

// The models of random reads: with a generated key, a key of texts, a key of two columns, and soft
// deletes.

type surviveMember struct {
	_      struct{} `preload:""`
	ID     uint
	Email  string `gorm:"size:50;uniqueIndex"`
	TeamID uint   `gorm:"index"`
	Rank   int
	State  string `gorm:"size:20"`
	Bio    *string
	Points int
	Active bool
}

type surviveItem struct {
	_      struct{} `preload:""`
	Code   string   `gorm:"primaryKey;size:50"`
	Label  string   `gorm:"size:50;uniqueIndex"`
	TeamID int64
	Rank   int64
	State  string `gorm:"size:20"`
	Bio    string `gorm:"size:100"`
	Points *int64
	Active *bool
}

type surviveSeat struct {
	_      struct{} `preload:""`
	TeamID int      `gorm:"primaryKey;autoIncrement:false"`
	Rank   int      `gorm:"primaryKey;autoIncrement:false"`
	Label  *string  `gorm:"size:50;uniqueIndex"`
	State  string   `gorm:"size:20"`
	Bio    string   `gorm:"size:100"`
	Points float64
	Active bool
}

type surviveDoc struct {
	_         struct{} `preload:""`
	ID        int64
	Slug      string `gorm:"size:50;uniqueIndex"`
	TeamID    *uint
	Rank      int
	State     string `gorm:"size:20"`
	Bio       *string
	Points    int
	Active    bool
	UpdatedAt time.Time
	DeletedAt gorm.DeletedAt
}

// surviveBrief is what several of these queries read of a row.
type surviveBrief struct {
	Rank   int64
	State  string
	Points *float64
}

const (
	surviveRows  = 150 // of each table
	surviveTeams = 30
	surviveAsked = 150 // reads of each table
)

var surviveStates = []string{"new", "open", "held", "paid", "sent", "done", "lost", "back"}

// surviveRandomReads draws queries of a table, in proportion to what applications ask.
func surviveRandomReads(t testing.TB, r *rand.Rand, plain *gorm.DB, s *surviveTable) (reads []surviveRead) {
	t.Helper()
	keys := s.schema.PrimaryFieldDBNames
	drawn := map[string]bool{}
	add := func(form string, args any, query worldtest.Query) {
		name := fmt.Sprintf("%s of %s, %v", form, s.schema.Table, args)
		if !drawn[name] {
			drawn[name] = true
			reads = append(reads, surviveRead{s.schema.Table, form, name, query})
		}
	}
	rows := func() any { return reflect.New(reflect.SliceOf(s.schema.ModelType)).Interface() }
	find := func(dest any, tx *gorm.DB) (any, *gorm.DB) { return dest, tx.Find(dest) }
	for len(reads) < surviveAsked {
		row := s.any(t, r, plain)
		team, state := s.holds(row, "team_id"), s.holds(row, "state")
		limit, descending := 1+r.IntN(10), []string{"", " DESC"}[r.IntN(2)]
		order := "rank" + descending + ", " + s.key()
		if s.schema.Table == "survive_seats" {
			order = "rank" + descending
		}
		switch n := r.IntN(100); {
		case n < 30:
			key := s.holds(row, keys...)
			add("primary key", key, func(db *gorm.DB) (any, *gorm.DB) {
				dest := s.model()
				return dest, db.Where(key).First(dest)
			})
		case n < 45:
			key := s.holds(row, s.unique)
			add("unique column", key, func(db *gorm.DB) (any, *gorm.DB) {
				dest := s.model()
				return dest, db.Where(key).Take(dest)
			})
		case n < 55:
			both := s.holds(row, "team_id", "state")
			add("two columns", both, func(db *gorm.DB) (any, *gorm.DB) { return find(rows(), db.Where(both).Order(s.key())) })
		case n < 67:
			add("foreign key, order and limit", []any{team, order, limit}, func(db *gorm.DB) (any, *gorm.DB) {
				return find(rows(), db.Where(team).Order(order).Limit(limit))
			})
		case n < 72:
			where := state
			if r.IntN(2) == 0 {
				where = team
			}
			add("count", where, func(db *gorm.DB) (any, *gorm.DB) {
				var n int64
				return &n, db.Model(s.model()).Where(where).Count(&n)
			})
		case n < 78:
			column := []string{s.unique, "rank", "state"}[r.IntN(3)]
			add("pluck", []any{column, team}, func(db *gorm.DB) (any, *gorm.DB) {
				var dest []string
				return &dest, db.Model(s.model()).Where(team).Order(s.key()).Pluck(column, &dest)
			})
		case n < 88:
			column := []string{keys[0], s.unique}[r.IntN(2)]
			if s.schema.Table == "survive_seats" {
				column = s.unique
			}
			values := []any{s.holds(row, column)[column]}
			for range 1 + r.IntN(4) {
				values = append(values, s.holds(s.any(t, r, plain), column)[column])
			}
			add("IN list", []any{column, values}, func(db *gorm.DB) (any, *gorm.DB) {
				return find(rows(), db.Where(column+" IN ?", values).Order(s.key()))
			})
		case n < 93:
			where := []map[string]any{team, s.holds(row, s.unique)}[r.IntN(2)]
			add("smaller struct", where, func(db *gorm.DB) (any, *gorm.DB) {
				return find(&[]surviveBrief{}, db.Model(s.model()).Where(where).Order(s.key()))
			})
		default:
			columns := append([]string{s.unique, s.free[r.IntN(len(s.free))]}, keys...)
			add("Select", []any{columns, team}, func(db *gorm.DB) (any, *gorm.DB) {
				return find(rows(), db.Select(columns).Where(team).Order(order))
			})
		}
	}
	return reads
}

func TestSurvivalRandom(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		r := surviveRand()
		plain := d.Plain(t, &gorm.Config{PrepareStmt: true})
		if err := plain.AutoMigrate(&surviveMember{}, &surviveItem{}, &surviveSeat{}, &surviveDoc{}); err != nil {
			t.Fatal(err)
		}
		state := func(r *rand.Rand) string { return surviveStates[r.IntN(len(surviveStates))] }
		free := []string{"bio", "points", "active"}
		tables := []*surviveTable{
			newSurviveTable(t, plain, &surviveMember{}, "email", free, "points", func(r *rand.Rand, n int) any {
				return &surviveMember{Email: fmt.Sprint("m", n, "@x"), TeamID: uint(r.IntN(surviveTeams)), Rank: r.IntN(50), State: state(r)}
			}),
			newSurviveTable(t, plain, &surviveItem{}, "label", free, "points", func(r *rand.Rand, n int) any {
				return &surviveItem{Code: fmt.Sprint("code ", n), Label: fmt.Sprint("label ", n), TeamID: int64(r.IntN(surviveTeams)), Rank: int64(r.IntN(50)), State: state(r)}
			}),
			newSurviveTable(t, plain, &surviveSeat{}, "label", free, "points", func(r *rand.Rand, n int) any {
				return &surviveSeat{TeamID: r.IntN(surviveTeams), Rank: n, Label: worldtest.Ptr(fmt.Sprint("label ", n)), State: state(r)}
			}),
			newSurviveTable(t, plain, &surviveDoc{}, "slug", free, "points", func(r *rand.Rand, n int) any {
				return &surviveDoc{Slug: fmt.Sprint("slug ", n), TeamID: worldtest.Ptr(uint(r.IntN(surviveTeams))), Rank: r.IntN(50), State: state(r)}
			}),
		}
		var reads []surviveRead
		for _, table := range tables {
			for n := range surviveRows {
				if err := plain.Create(table.fresh(r, -1-n)).Error; err != nil {
					t.Fatal(err)
				}
			}
			reads = append(reads, surviveRandomReads(t, r, plain, table)...)
		}
		s := newSurvival(t, writeOpen(t, d, plain, nil), reads)
		surviveRun(t, s, r, tables, surviveWrites)
		s.report(t, survivalOfRandom)
	})
}
